//! What applications are told: one entry for each flow and turn, as long as there is room.

use tas_abi::memif::{
    Arx, ArxConnUpdate, ArxMsg, FLEXTCP_PL_ARX_FLRESET, FLEXTCP_PL_ARX_FLRXDONE,
    FLEXTCP_PL_ARX_FLTIMEDOUT, FlowSt,
};

use super::Core;
use super::contexts::Context;
use super::slot::{FlowSlot, Owner};
use crate::nic::NicQueue;
use crate::types::{ContextId, FlowId};

/// What became of a flow's news.
#[derive(PartialEq, Eq)]
enum Told {
    /// They were posted, or are nobody's any more.
    Yes,
    /// They wait for room in this context's queue.
    Waits(ContextId),
}

impl<Q: NicQueue> Core<Q> {
    /// Tells applications what is new, and what had found no room.
    pub(super) fn post_notices(&mut self) -> bool {
        let delayed = self.post_delayed();
        if delayed {
            self.contexts.ring();
        }
        delayed | self.post_news()
    }

    /// Tells applications what is new.
    pub(super) fn post_news(&mut self) -> bool {
        if self.schedule.notices.is_empty() {
            return false;
        }
        let mut notices = std::mem::take(&mut self.schedule.notices);
        for id in notices.drain(..) {
            if let Told::Waits(owner) = self.tell(id) {
                self.delay(id, owner);
                self.counters.events_delayed.add(1);
            }
        }
        self.schedule.notices = notices;
        self.contexts.ring();
        true
    }

    /// Goes on with the flows whose context's queue was full. Those of one context are looked at
    /// only as far as there is room: an application that does not read costs the others nothing.
    fn post_delayed(&mut self) -> bool {
        let mut posted = false;
        for index in 0..self.contexts.len() {
            while let Some(id) = self.contexts.at(index).and_then(Context::next_delayed) {
                posted = true;
                // The flow may have moved to another context, whose queue is full.
                if let Told::Waits(owner) = self.tell(id)
                    && self.delay(id, owner) == Some(index)
                {
                    break;
                }
            }
        }
        posted
    }

    /// Lets a flow wait for room in a context's queue, and returns the context's place.
    fn delay(&mut self, id: FlowId, owner: ContextId) -> Option<usize> {
        let place = self.contexts.index(owner)?;
        self.contexts.at(place)?.delayed.push_back(id);
        Some(place)
    }

    fn tell(&mut self, id: FlowId) -> Told {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return Told::Yes;
        };
        slot.app.notice_queued = false;
        if slot.app.owner != Owner::Context || slot.app.mute != 0 || !slot.app.has_news() {
            return Told::Yes;
        }
        let owner = slot.app.context();
        let Some(context) = self.contexts.get(owner) else {
            return Told::Yes;
        };
        let news = news(st, slot);
        if context.post(&news) {
            self.tx.trace.app_event(id, st, &news);
            slot.app.clear_news();
            self.counters.events.add(1);
            Told::Yes
        } else {
            slot.app.notice_queued = true;
            Told::Waits(owner)
        }
    }
}

/// The entry that tells what is new.
#[inline]
fn news(st: &FlowSt, slot: &FlowSlot) -> Arx {
    let app = &slot.app;
    let mut flags = 0;
    if app.rx_closed {
        flags |= FLEXTCP_PL_ARX_FLRXDONE;
    }
    if app.reset {
        flags |= FLEXTCP_PL_ARX_FLRESET;
        if app.timed_out {
            flags |= FLEXTCP_PL_ARX_FLTIMEDOUT;
        }
    }
    // The news end at the next position, going back over the ring's end.
    let back = if app.rx_bump > st.rx_next_pos {
        st.rx_len
    } else {
        0
    };
    let rx_pos = st.rx_next_pos.wrapping_add(back).wrapping_sub(app.rx_bump);
    ArxMsg::ConnUpdate(ArxConnUpdate {
        opaque: st.opaque,
        rx_bump: app.rx_bump,
        rx_pos,
        tx_bump: app.tx_bump,
        flags,
    })
    .into()
}
