//! What the next steps need, made by a thread ahead of them.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Items that are made before they are asked for: those that wait, and one in the making.
const AHEAD: usize = 2;

/// The items of an iterator, in order, made on a thread of their own, which ends with them, or when this is dropped.
pub(crate) struct Ahead<T> {
    made: Option<Receiver<T>>,
    maker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Begins to make them.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn new(mut items: impl Iterator<Item = T> + Send + 'static) -> std::io::Result<Self> {
        let (give, made) = sync_channel(AHEAD - 1);
        let make = move || {
            // An error means that nobody is there to take one.
            let _ = items.try_for_each(|item| give.send(item));
        };
        let maker = Builder::new().name("batches".into()).spawn(make)?;
        Ok(Self { made: Some(made), maker: Some(maker) })
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = T;

    /// # Panics
    /// As the maker did, if it did.
    fn next(&mut self) -> Option<T> {
        let next = self.made.as_ref().and_then(|made| made.recv().ok());
        if next.is_none()
            && let Some(maker) = self.maker.take()
            && let Err(panic) = maker.join()
        {
            resume_unwind(panic);
        }
        next
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        // What went wrong with items that nobody takes went wrong for nobody.
        self.made = None;
        if let Some(maker) = self.maker.take() {
            let _ = maker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn all_items_come_in_order_and_then_no_more() {
        let mut ahead = Ahead::new(0..1000).unwrap();
        assert!(ahead.by_ref().eq(0..1000));
        assert_eq!((ahead.next(), ahead.next()), (None, None));
    }

    #[test]
    fn two_are_made_before_they_are_asked_for_and_what_is_left_is_not() {
        let made = Arc::new(AtomicU64::new(0));
        let counter = made.clone();
        let count = move |_: &u64| {
            counter.fetch_add(1, Ordering::SeqCst);
        };
        let mut ahead = Ahead::new((0..).inspect(count)).unwrap();
        for taken in 0..5 {
            let begun = Instant::now();
            while made.load(Ordering::SeqCst) < taken + AHEAD as u64 {
                assert!(begun.elapsed() < Duration::from_secs(60), "nothing is made ahead");
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(made.load(Ordering::SeqCst), taken + AHEAD as u64);
            assert_eq!(ahead.next(), Some(taken));
        }
        // The iterator has no end; the thread has.
        drop(ahead);
        assert!(made.load(Ordering::SeqCst) <= 5 + AHEAD as u64);
    }

    #[test]
    fn a_panic_comes_where_its_item_was_asked_for_or_not_at_all() {
        let items = || (0..).inspect(|&i| assert!(i < 3, "no item {i}"));
        let mut ahead = Ahead::new(items()).unwrap();
        assert_eq!([ahead.next(), ahead.next(), ahead.next()], [Some(0), Some(1), Some(2)]);
        let panic = catch_unwind(AssertUnwindSafe(|| ahead.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "no item 3");
        assert_eq!(ahead.next(), None);
        let mut unasked = Ahead::new(items()).unwrap();
        assert_eq!(unasked.next(), Some(0));
        drop(unasked);
    }
}
