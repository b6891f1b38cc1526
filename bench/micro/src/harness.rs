//! What a case is, and the function that tells callgrind where to count.

use std::hint::black_box;

/// Something to be measured.
pub struct Case {
    /// Its name, `group/what`.
    pub name: &'static str,
    /// Operations that one measurement takes.
    pub ops: u32,
    /// Prepares what so many operations need; what it returns does them.
    pub prepare: fn(u32) -> Run,
}

/// Does the operations that were prepared.
pub type Run = Box<dyn FnMut()>;

/// The names of [`measured_region`] and [`measured_case`] as callgrind sees them, whatever the
/// compiler puts around them. (Of patterns with a further `*` it takes no second one.)
pub const REGION: &str = "*measured_region*";
pub const CASE: &str = "*measured_case*";

/// Callgrind writes a profile when this function returns.
#[inline(never)]
pub fn measured_case(run: &mut dyn FnMut()) {
    measured_region(run);
    // Otherwise the call could become a jump, after which this function has ended.
    black_box(());
}

/// Callgrind counts from the entry of this function to its return, and never else.
#[inline(never)]
fn measured_region(run: &mut dyn FnMut()) {
    run();
    black_box(());
}

/// A case whose operations each take an item of their own, prepared beforehand.
pub fn each<T: 'static, R>(items: Vec<T>, mut operation: impl FnMut(&mut T) -> R + 'static) -> Run {
    let mut items = items;
    Box::new(move || {
        for item in &mut items {
            black_box(operation(black_box(item)));
        }
    })
}

/// A case whose operations all do the same.
pub fn repeat<R>(ops: u32, mut operation: impl FnMut(u32) -> R + 'static) -> Run {
    Box::new(move || {
        for index in 0..ops {
            black_box(operation(black_box(index)));
        }
    })
}
