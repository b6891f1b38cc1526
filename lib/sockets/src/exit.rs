//! The end of the process by exit(3): what only this library knows is told to
//! the service, which otherwise takes bytes that were read for unread, and
//! resets their connections.

use tas_ll::{calls, context};

use crate::engine;
use crate::ffi::raw;
use crate::hold;
use crate::socket::{Phase, SOCKETS};

/// Sees to it that the service is told. Once.
pub fn prepare() {
    raw::at_exit(tell);
}

fn tell() {
    hold::push_all();
    for socket in SOCKETS.all() {
        // A thread that exits in the middle of a call on it keeps the lock.
        let Some(mut locked) = engine::try_lock(socket) else {
            continue;
        };
        let (state, ctx) = locked.parts();
        let conn = socket.conn();
        if state.phase == Phase::Connected
            && let Some(ctx) = ctx
            && conn.with(|c| c.rxb_bump) > 0
        {
            calls::post(ctx, conn);
            // Without the service there is nobody to tell.
            let _ = context::post_all(ctx);
        }
    }
}
