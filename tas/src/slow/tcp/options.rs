//! Options of connections, and how connections are doing.

use tas_abi::appif::{
    AppinConnInfo, AppinMsg, TAS_CONN_INFO_ECN, TAS_CONN_INFO_SACK, TAS_CONN_INFO_TIMESTAMPS,
};

use super::TcpControl;
use super::conn::{Named, Owner};
use super::world::{Client, ConnName, Errno, World};
use crate::link::ToFast;
use crate::proto::{FlowInfo, LivenessOptions, State};
use crate::types::FlowId;

/// Most questions that wait for an answer; more are refused.
const INSPECTIONS_MAX: usize = 65536;

impl TcpControl {
    /// Sets the options of an open connection.
    pub fn set_options(
        &mut self,
        w: &mut impl World,
        client: Client,
        conn: ConnName,
        options: LivenessOptions,
    ) {
        if let Some(Named::Flow(flow)) = self.find(client, conn)
            && let Some(record) = self.flows.get(&flow)
        {
            w.send(w.core(record.group), ToFast::SetLiveness(flow, options));
        }
    }

    /// Asks how a connection is doing; answered by `ConnInfo`.
    pub fn inspect(&mut self, w: &mut impl World, client: Client, conn: ConnName) {
        let asker = Owner {
            client,
            opaque: conn.opaque,
        };
        let flow = match self.find(client, conn) {
            Some(Named::Flow(flow)) => flow,
            _ => return refuse(w, asker, Errno::NOTCONN),
        };
        let Some(record) = self.flows.get(&flow) else {
            return refuse(w, asker, Errno::NOTCONN);
        };
        if self.inspections.len() >= INSPECTIONS_MAX {
            return refuse(w, asker, Errno::NOBUFS);
        }
        self.inspections.push((flow, asker));
        w.send(w.core(record.group), ToFast::Inspect(flow));
    }

    /// A core says how a flow is doing: to the one who asked first.
    pub fn on_inspected(&mut self, w: &mut impl World, flow: FlowId, info: &FlowInfo) {
        let asked = self.inspections.iter().position(|(of, _)| *of == flow);
        if let Some(place) = asked {
            let (_, asker) = self.inspections.remove(place);
            let answer = describe(asker.opaque, info);
            w.answer(asker.client.context, AppinMsg::ConnInfo(answer));
        }
    }

    /// Nobody will say any more how a flow is doing.
    pub(super) fn end_inspections(&mut self, w: &mut impl World, flow: FlowId) {
        self.inspections.retain(|(of, asker)| {
            if *of == flow {
                refuse(w, *asker, Errno::NOTCONN);
            }
            *of != flow
        });
    }
}

fn refuse(w: &mut impl World, asker: Owner, errno: Errno) {
    let info = AppinConnInfo {
        opaque: asker.opaque,
        status: errno.status(),
        ..AppinConnInfo::default()
    };
    w.answer(asker.client.context, AppinMsg::ConnInfo(info));
}

fn describe(opaque: u64, info: &FlowInfo) -> AppinConnInfo {
    let option = |holds: bool, flag: u8| if holds { flag } else { 0 };
    AppinConnInfo {
        opaque,
        status: 0,
        rtt: info.rtt_us,
        rtt_var: info.rtt_var_us,
        rto: u32::try_from(info.rto.0).unwrap_or(u32::MAX),
        rate: info.rate_kbps,
        cwnd: info.cwnd,
        snd_wnd: info.snd_wnd,
        in_flight: info.in_flight,
        unsent: info.unsent,
        retransmits: info.retransmits,
        mss: info.mss,
        rcv_mss: info.rcv_mss,
        state: number(info.state),
        retries: info.retries,
        options: option(info.timestamps, TAS_CONN_INFO_TIMESTAMPS)
            | option(info.sack, TAS_CONN_INFO_SACK)
            | option(info.ecn, TAS_CONN_INFO_ECN),
        snd_wscale: info.snd_wscale,
        rcv_wscale: info.rcv_wscale,
    }
}

/// A state's number on Linux.
fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}
