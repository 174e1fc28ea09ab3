//! A worker's life from ready to its end.

use std::time::Duration;

use evonic_process::channel::Channel;
use evonic_shared::{control::FromWorker, exit::ExitCode};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{control::Order, liveness::Parts, shutdown_budget::ShutdownBudget, start::Worker};
use evonic_agent::Agents;
use evonic_handles::Budget;
use evonic_workplace::{End, Workplaces};

/// What the runtime may take to end its tasks; blocking work that hangs does not keep it longer.
const RUNTIME_END: Duration = Duration::from_millis(100);
/// What is kept of a stopping service's drain time for closing its workplaces; less of a short one.
const STOP_TIME: Duration = Duration::from_secs(2);
/// What closing workplaces may take even when the time is over.
const CLOSE_TIME: Duration = Duration::from_millis(200);
/// The shortest pause between two reports of a high descriptor.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

impl Worker {
    /// Lives until ordered to end, and ends in order. The watchdog was armed with the order.
    pub(super) fn live(mut self) -> ExitCode {
        let (why, grace, mut end) = self.runtime.block_on(await_shutdown(
            &mut self.orders,
            &self.parts.agents,
            &self.channel,
            &self.budget,
        ));
        let begun = Instant::now();
        if let Err(error) = self.channel.send(&FromWorker::Draining) {
            tracing::debug!(%error, "nobody hears that this worker drains");
        }
        drop(self.liveness);
        let deadline = begun + ShutdownBudget::of(grace).drain;
        tracing::info!(reason = why, timeout_ms = (deadline - begun).as_millis(), "draining");
        // First: a successor may take its place at once.
        self.runtime.block_on(self.parts.retention.stop());
        let drained = drain(&self.parts, &mut self.orders, deadline, &mut end);
        let (cut, (handed_over, left)) = self.runtime.block_on(drained);
        self.runtime.block_on(close(&self.parts.workplaces, end, deadline));
        drop(self.budget_hook);
        self.parts.store.clone().close();
        tracing::info!(
            handed_over,
            turns_left = left,
            connections_cut = cut,
            elapsed_ms = begun.elapsed().as_millis(),
            "drained"
        );
        self.runtime.shutdown_timeout(RUNTIME_END);
        self.control.end();
        ExitCode::Ok
    }
}

/// Drains the server and the queue until then; until an earlier time when an order says so, which
/// may also say that no successor comes. Returns the connections that were cut, and the turns that
/// were handed over and left.
async fn drain(
    parts: &Parts,
    orders: &mut mpsc::Receiver<Order>,
    mut deadline: Instant,
    end: &mut End,
) -> (usize, (usize, usize)) {
    loop {
        let time_left = deadline.saturating_duration_since(Instant::now());
        // What outlives a worker may take a while to be told that it must not.
        let closing =
            if *end == End::Stopped { STOP_TIME.min(time_left / 4) } else { Duration::ZERO };
        let time_left = time_left - closing;
        // Both continue where they were when they are called again.
        let both =
            async { tokio::join!(parts.server.drain(time_left), parts.agents.drain(time_left)) };
        tokio::select! {
            drained = both => return drained,
            (sooner, how) = sooner(orders, deadline, *end) => (deadline, *end) = (sooner, how),
        }
    }
}

/// Closes connections to other machines, and stops what must not outlive the service.
async fn close(workplaces: &Workplaces, end: End, deadline: Instant) {
    let time_left = deadline.saturating_duration_since(Instant::now()).max(CLOSE_TIME);
    if timeout(time_left, workplaces.close(end, time_left)).await.is_err() {
        tracing::warn!("workplaces are not closed in time");
    }
}

/// Waits for an order that brings the deadline forward, or says that the service stops.
async fn sooner(orders: &mut mpsc::Receiver<Order>, deadline: Instant, end: End) -> (Instant, End) {
    while let Some(order) = orders.recv().await {
        if let Order::End { why, grace, end: how } = order {
            let then = (Instant::now() + ShutdownBudget::of(grace).drain).min(deadline);
            let stops = how == End::Stopped && end == End::Recycled;
            if then < deadline || stops {
                tracing::info!(reason = why, "less time is left to drain");
                return (then, if stops { how } else { end });
            }
        }
    }
    std::future::pending().await
}

/// Obeys orders until one is to end: why, how long until SIGKILL, and what comes after.
async fn await_shutdown(
    orders: &mut mpsc::Receiver<Order>,
    agents: &Agents,
    channel: &Channel,
    budget: &Budget,
) -> (String, Duration, End) {
    let report = report_high_descriptors(channel, budget);
    tokio::pin!(report);
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            () = &mut report => continue,
        };
        match order {
            Some(Order::PredecessorGone(generation)) => agents.predecessor_gone(generation),
            Some(Order::End { why, grace, end }) => return (why, grace, end),
            // Without its control thread a worker can be told nothing any more.
            None => {
                return ("control thread lost".to_owned(), Duration::from_secs(5), End::Recycled);
            }
        }
    }
}

/// Tells the supervisor at once when a handle got a descriptor numbered past the threshold.
async fn report_high_descriptors(channel: &Channel, budget: &Budget) {
    loop {
        let number = budget.high_descriptor().await;
        if let Err(error) = channel.send(&FromWorker::HighDescriptor { number }) {
            tracing::debug!(%error, number, "high descriptor not reported");
        }
        tokio::time::sleep(REPORT_PAUSE).await;
    }
}
