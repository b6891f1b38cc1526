//! The contexts of applications as the slow path sees them: a queue of requests, a queue of
//! answers, an eventfd.

use std::collections::VecDeque;
use std::sync::Arc;

use tas_abi::appif::{AppinMsg, AppoutMsg, KernelAppin, KernelAppout};
use tas_abi::memif::AppCtx;
use tas_shm::{Arena, Consumer, Doorbell, Producer, ShmOffset};

use crate::types::{ContextId, TenantId};

/// Contexts of all applications at a time.
pub const CONTEXTS_MAX: usize = 4096;
/// Answers that may wait for room before the application's requests have to wait as well.
const ANSWERS_WAITING: usize = 1024;

/// A stretch of a region that goes back with the context.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Where.
    pub at: ShmOffset,
    /// Bytes.
    pub len: u32,
}

/// The queues between a context and one core.
#[derive(Clone, Copy, Debug)]
pub struct CoreQueues {
    /// Core → application.
    pub rx: Queue,
    /// Application → core.
    pub tx: Queue,
}

/// A context.
pub struct Context {
    /// The application.
    pub tenant: TenantId,
    /// Cores that have not let go yet; counted down once the context is to go.
    pub cores_left: usize,
    /// The application is gone.
    pub leaving: bool,
    /// All its memory.
    pub kernel_queues: [Queue; 2],
    /// Queues to and from the cores.
    pub core_queues: Vec<CoreQueues>,
    requests: Consumer<KernelAppout>,
    answers: Producer<KernelAppin>,
    waiting: VecDeque<KernelAppin>,
    doorbell: Doorbell,
}

/// What a context is made of.
pub struct NewContext {
    /// The application.
    pub tenant: TenantId,
    /// Application → slow path.
    pub requests: Queue,
    /// Slow path → application.
    pub answers: Queue,
    /// Queues to and from the cores.
    pub core_queues: Vec<CoreQueues>,
    /// Wakes the application.
    pub doorbell: Doorbell,
}

impl Context {
    /// A context over queues that lie in the arena; `None` when they cannot be used as such.
    pub fn new(arena: &Arc<Arena>, new: NewContext) -> Option<Context> {
        Some(Context {
            tenant: new.tenant,
            cores_left: new.core_queues.len(),
            leaving: false,
            kernel_queues: [new.requests, new.answers],
            core_queues: new.core_queues,
            requests: Arena::consumer(arena, new.requests.at, new.requests.len).ok()?,
            answers: Arena::producer(arena, new.answers.at, new.answers.len).ok()?,
            waiting: VecDeque::new(),
            doorbell: new.doorbell,
        })
    }

    /// So much waits for the application to read that nothing should be added to it.
    pub fn is_behind(&self) -> bool {
        self.waiting.len() >= ANSWERS_WAITING
    }

    /// The next request. An entry that makes no sense counts as none and is taken away: `Err`.
    fn request(&mut self) -> Option<Result<AppoutMsg, ()>> {
        if self.leaving || self.is_behind() {
            return None;
        }
        self.any_request()
    }

    /// The next request, whether there is room for an answer or not.
    fn any_request(&mut self) -> Option<Result<AppoutMsg, ()>> {
        let entry = self.requests.pop()?;
        Some(AppoutMsg::try_from(entry).map_err(|_| ()))
    }

    fn answer(&mut self, msg: AppinMsg) {
        if self.leaving {
            return;
        }
        self.waiting.push_back(msg.into());
        self.flush();
    }

    /// Adds an answer unless it waits already. Where it came before ones that were posted, the
    /// application may have looked.
    fn tell_once(&mut self, msg: AppinMsg) {
        let entry = KernelAppin::from(msg);
        if !self.waiting.contains(&entry) {
            self.answer(msg);
        }
    }

    fn flush(&mut self) -> bool {
        let mut posted = false;
        while let Some(entry) = self.waiting.front() {
            if self.answers.push(entry).is_err() {
                break;
            }
            self.waiting.pop_front();
            posted = true;
        }
        if posted {
            self.doorbell.ring_if_needed();
        }
        posted
    }
}

/// All contexts, by id.
#[derive(Default)]
pub struct Contexts {
    /// As many as were in use at a time.
    slots: Vec<Option<Context>>,
    count: usize,
    /// Where to look for a free id: ids are reused as late as possible.
    next: usize,
    /// All ids in use lie below.
    used: usize,
    /// The id whose request was taken last.
    turn: usize,
}

impl Contexts {
    /// Takes a context in; `None`: every id is taken.
    pub fn add(&mut self, context: Context) -> Option<ContextId> {
        // Low ids first while few are in use: tools show those.
        let limit = (self.count * 2 + 16).min(CONTEXTS_MAX);
        let free = (0..CONTEXTS_MAX)
            .map(|step| (self.next + step) % CONTEXTS_MAX)
            .filter(|index| *index < limit)
            .find(|index| self.slots.get(*index).is_none_or(Option::is_none))?;
        if free >= self.slots.len() {
            self.slots.resize_with(free + 1, || None);
        }
        *self.slots.get_mut(free)? = Some(context);
        self.count += 1;
        self.next = (free + 1) % limit;
        self.used = self.used.max(free + 1);
        Some(ContextId(free as u16))
    }

    /// The context with this id.
    pub fn get(&mut self, id: ContextId) -> Option<&mut Context> {
        self.slots.get_mut(usize::from(id.0))?.as_mut()
    }

    /// Takes a context out.
    pub fn remove(&mut self, id: ContextId) -> Option<Context> {
        let context = self.slots.get_mut(usize::from(id.0))?.take()?;
        self.count -= 1;
        let used = self.slots.get(..self.used).unwrap_or_default();
        self.used = used
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |last| last + 1);
        Some(context)
    }

    /// The next request of a context other than those just served, going round all of them: none
    /// can keep the others waiting.
    pub fn next_request(&mut self) -> Option<(ContextId, TenantId, Result<AppoutMsg, ()>)> {
        for _ in 0..self.used {
            self.turn = (self.turn + 1) % self.used;
            if let Some(Some(context)) = self.slots.get_mut(self.turn)
                && let Some(request) = context.request()
            {
                return Some((ContextId(self.turn as u16), context.tenant, request));
            }
        }
        None
    }

    /// The next request of one application.
    pub fn next_request_of(
        &mut self,
        tenant: TenantId,
    ) -> Option<(ContextId, Result<AppoutMsg, ()>)> {
        let used = self.slots.iter_mut().take(self.used).enumerate();
        for (index, context) in used {
            if let Some(context) = context
                && context.tenant == tenant
                && let Some(request) = context.request()
            {
                return Some((ContextId(index as u16), request));
            }
        }
        None
    }

    /// The next request of a context whose application is gone, and reads no answers.
    pub fn last_request(&mut self, id: ContextId) -> Option<Result<AppoutMsg, ()>> {
        self.get(id)
            .filter(|context| !context.leaving)?
            .any_request()
    }

    /// Answers an application; when its queue is full, as soon as there is room.
    pub fn answer(&mut self, id: ContextId, msg: AppinMsg) {
        if let Some(context) = self.get(id) {
            context.answer(msg);
        }
    }

    /// The same, unless the same waits for room already.
    pub fn tell_once(&mut self, id: ContextId, msg: AppinMsg) {
        if let Some(context) = self.get(id) {
            context.tell_once(msg);
        }
    }

    /// Delivers answers that wait for room. True when there was some.
    pub fn flush(&mut self) -> bool {
        let used = self.slots.iter_mut().take(self.used).flatten();
        used.map(Context::flush)
            .fold(false, |any, posted| any | posted)
    }

    /// Answers wait for room.
    pub fn any_waiting(&self) -> bool {
        let mut used = self.slots.iter().take(self.used).flatten();
        used.any(|context| !context.waiting.is_empty())
    }
}

/// A context's queues with one core, as tools find them in `flextcp_pl_mem`.
pub fn public_view(queues: &CoreQueues, tenant: TenantId) -> AppCtx {
    AppCtx {
        rx_base: queues.rx.at.0,
        tx_base: queues.tx.at.0,
        rx_len: queues.rx.len,
        tx_len: queues.tx.len,
        appst_id: tenant.0,
        evfd: -1,
        last_ts: 0,
        rx_head: 0,
        tx_head: 0,
        rx_avail: queues.rx.len,
    }
}

#[cfg(test)]
#[path = "contexts_tests.rs"]
mod tests;
