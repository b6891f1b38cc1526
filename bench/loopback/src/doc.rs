//! The results in `doc/performance.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::results::Results;
use crate::{plots, table};

/// Lines between which the document has the results.
const BEGIN: &str = "<!-- results: written by `make plots` -->\n";
const END: &str = "<!-- end of results -->\n";
/// Charts, each below the table that it shows.
const CHARTS: [(&str, &str); 3] = [
    ("Beside the original", "performance/original.svg"),
    (
        "Sizes, connections, requests in flight",
        "performance/requests.svg",
    ),
    (
        "Sizes, connections, requests in flight",
        "performance/round-trips.svg",
    ),
];

/// Draws the charts of the results in `json`, and puts them and the tables
/// into the documentation in `doc`.
pub fn fill_in(json: &Path, doc: &Path) -> Result<()> {
    let results = Results::read(json)?;
    let charts = doc.join("performance");
    fs::create_dir_all(&charts).with_context(|| format!("cannot make {}", charts.display()))?;
    for (name, svg) in plots::all(&results) {
        let path = charts.join(name);
        fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = doc.join("performance.md");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = with_results(&text, &table::report(&results, &CHARTS))
        .with_context(|| format!("{} has no place for results", path.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// `text` with these results instead of those it has.
fn with_results(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{results}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_results_are_replaced() {
        let text = format!("above\n{BEGIN}old\n{END}below\n");
        let new = with_results(&text, "new\n").unwrap();
        assert_eq!(new, format!("above\n{BEGIN}\nnew\n\n{END}below\n"));
        assert_eq!(with_results(&new, "new\n").unwrap(), new);
        assert_eq!(with_results("no place", "new\n"), None);
    }
}
