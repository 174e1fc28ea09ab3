//! One model call or tool call: a task of its own, whose panic is contained, and its output while
//! it runs.

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

/// Pieces that may wait between a job and its turn: a slow database slows the job.
const WAITING_PIECES: usize = 64;

/// A running job. Dropping it ends it at its next point of waiting.
#[derive(Debug)]
pub(super) struct Job<P, T> {
    pieces: mpsc::Receiver<P>,
    task: JoinSet<T>,
    result: Option<Result<T, Defect>>,
}

/// What comes of a job.
#[derive(Debug)]
pub(super) enum JobEvent<P, T> {
    /// A piece, in order.
    Piece(P),
    /// It ended; there are no more pieces.
    Ended(Result<T, Defect>),
}

/// The job panicked: a defect of the program.
#[derive(Debug)]
pub(super) struct Defect {
    /// What the panic said.
    pub(super) message: String,
}

impl<P: Send + 'static, T: Send + 'static> Job<P, T> {
    /// Starts what `body` makes of the channel for its pieces.
    pub(super) fn start<F>(body: impl FnOnce(mpsc::Sender<P>) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        let mut task = JoinSet::new();
        task.spawn(body(sender));
        Self { pieces, task, result: None }
    }

    /// The next piece, or the end. Cancel safe. Not called again after the end.
    pub(super) async fn next_event(&mut self) -> JobEvent<P, T> {
        loop {
            tokio::select! {
                biased;
                Some(piece) = self.pieces.recv() => return JobEvent::Piece(piece),
                Some(result) = self.task.join_next() => {
                    // A sender that outlives its job does not keep the turn waiting.
                    self.pieces.close();
                    self.result = Some(result.map_err(Defect::from));
                }
                else => {
                    let ended = || Err(Defect { message: "polled after its end".to_owned() });
                    return JobEvent::Ended(self.result.take().unwrap_or_else(ended));
                }
            }
        }
    }

    /// Ends it now and waits until it is gone.
    pub(super) async fn end(mut self) {
        self.task.shutdown().await;
    }
}

impl From<JoinError> for Defect {
    fn from(error: JoinError) -> Self {
        let message = match error.try_into_panic() {
            Ok(panic) => panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic without a message".to_owned()),
            Err(error) => error.to_string(),
        };
        Self { message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut job: Job<u32, u32>) -> (Vec<u32>, Result<u32, String>) {
        let mut pieces = Vec::new();
        loop {
            match job.next_event().await {
                JobEvent::Piece(piece) => pieces.push(piece),
                JobEvent::Ended(result) => {
                    return (pieces, result.map_err(|defect| defect.message));
                }
            }
        }
    }

    #[tokio::test]
    async fn every_piece_comes_before_the_end() {
        let job = Job::start(|pieces| async move {
            for piece in 0..1000 {
                pieces.send(piece).await.unwrap();
            }
            7
        });
        assert_eq!(all(job).await, ((0..1000).collect(), Ok(7)));
    }

    #[tokio::test]
    async fn a_panic_is_a_result() {
        let job = Job::start(|pieces| async move {
            pieces.send(1).await.unwrap();
            if pieces.capacity() > 0 {
                panic!("it broke at {}", 2);
            }
            0
        });
        assert_eq!(all(job).await, (vec![1], Err("it broke at 2".to_owned())));
    }

    #[tokio::test]
    async fn a_sender_left_behind_does_not_keep_it() {
        let mut kept = None;
        let job = Job::start(|pieces| {
            kept = Some(pieces.clone());
            async move {
                pieces.send(1).await.unwrap();
                2
            }
        });
        assert_eq!(all(job).await, (vec![1], Ok(2)));
        assert!(kept.unwrap().is_closed());
    }

    #[tokio::test]
    async fn ending_it_drops_what_it_holds() {
        struct Guard(std::sync::Arc<std::sync::atomic::AtomicBool>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let dropped = std::sync::Arc::default();
        let guard = Guard(std::sync::Arc::clone(&dropped));
        let job: Job<u32, ()> = Job::start(|pieces| async move {
            let _guard = guard;
            pieces.closed().await;
            std::future::pending::<()>().await;
        });
        job.end().await;
        assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
    }
}
