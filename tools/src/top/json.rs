//! All numbers as one JSON document, for scripts.

use serde_json::{Map, Value, json};

use super::source::Sample;
use crate::state::FlowJson;

/// The document: what the service is, each group as an array of its rows, and the connections.
pub fn document(sample: &Sample) -> Value {
    let groups: Map<String, Value> = sample
        .stats
        .groups
        .iter()
        .map(|group| {
            let rows = group.rows.iter().map(|row| {
                let names = group.columns.iter().map(|column| column.name.clone());
                let numbers = row.iter().map(|number| Value::from(*number));
                Value::Object(names.zip(numbers).collect())
            });
            (group.name.clone(), Value::Array(rows.collect()))
        })
        .collect();
    let connections: Vec<FlowJson> = sample
        .flows
        .iter()
        .map(|(id, state)| FlowJson::new(*id, state))
        .collect();
    json!({
        "pid": sample.stats.pid,
        "at_ns": sample.at,
        "started_ns": sample.stats.started,
        "cycles_per_second": sample.stats.cycles_per_second,
        "groups": groups,
        "connections": connections,
    })
}
