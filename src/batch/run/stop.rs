//! Ending a run early, in two steps.

use tokio::sync::watch;

/// How far a run is to go on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// To its end.
    Go,
    /// No new rows; those under way are waited for.
    Drain,
    /// Not at all: what is under way is left.
    Leave,
}

/// The word that a run listens for.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Stage>);

impl Stop {
    /// Listens to `stages`; they should only rise.
    pub const fn on(stages: watch::Receiver<Stage>) -> Self {
        Self(stages)
    }

    /// Never stops.
    pub fn never() -> Self {
        Self(watch::channel(Stage::Go).1)
    }

    /// Ctrl-C: the first drains, the second leaves.
    ///
    /// Call it inside a runtime with its I/O driver on.
    pub fn on_ctrl_c() -> Self {
        let (say, stop) = watch::channel(Stage::Go);
        tokio::spawn(async move {
            for stage in [Stage::Drain, Stage::Leave] {
                // Without a signal handler the system's own is in force: Ctrl-C ends the process.
                if tokio::signal::ctrl_c().await.is_err() {
                    return;
                }
                say.send_replace(stage);
            }
        });
        Self(stop)
    }

    /// Waits until the run is to go no further than `stage`; forever, if nobody will say so.
    pub(in crate::batch) async fn reached(&mut self, stage: Stage) {
        if self.0.wait_for(|now| *now >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn to_leave_is_also_to_drain() {
        let (say, stages) = watch::channel(Stage::Go);
        let mut stop = Stop::on(stages);
        assert_eq!(stop.reached(Stage::Drain).now_or_never(), None);
        say.send_replace(Stage::Leave);
        assert_eq!(stop.reached(Stage::Drain).now_or_never(), Some(()));
        drop(say);
        assert_eq!(stop.reached(Stage::Leave).now_or_never(), Some(()), "the last word holds");
        assert_eq!(Stop::never().reached(Stage::Drain).now_or_never(), None);
    }
}
