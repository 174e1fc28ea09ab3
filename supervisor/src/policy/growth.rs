//! How fast those of a worker's descriptors multiply that nobody owns.
//!
//! Each count gives a sample of the *rest*: open less owned. Honest load moves open and owned
//! together and leaves the rest where it was; a leak lifts it. The estimate is a least-squares
//! line over that run of recent samples which tells the slope best:
//!
//! - runs of several lengths are tried, up to ten seconds back, and those are considered that lie
//!   on one line: they stray from it little more than the rest always strays ([`Growth::noise`]),
//!   or by a small part of the rise (leaks come in bursts);
//! - of these the one with the least standard error is taken. A longer run has less of it, unless
//!   it reaches back over the beginning of the leak, which would dilute the slope;
//! - outliers (a count in the middle of a burst of opens) are left out of a run, up to a fifth.
//!
//! Growth is only spoken of when the slope stands out of the noise and the rise is of several
//! descriptors, so that noise never looks like a slow leak. What is too slow for that (less than
//! about one descriptor in two seconds) is left to the line of the unexplained.

use std::{collections::VecDeque, time::Duration};

use super::Instant;

/// The longest run that a line is fitted to.
const WINDOW: Duration = Duration::from_secs(10);
/// How long samples are kept, to know the noise.
const MEMORY: Duration = Duration::from_secs(60);
/// The most samples kept: ten seconds at the shortest interval.
const CAPACITY: usize = 512;
/// Samples stray by this much at least: half a descriptor, from counting in whole ones.
const LEAST_NOISE: f64 = 0.5;
/// Until so many samples tell the noise, it is taken for [`UNKNOWN_NOISE`] at least.
const SAMPLES_OF_NOISE: usize = 8;
/// See [`SAMPLES_OF_NOISE`].
const UNKNOWN_NOISE: f64 = 1.0;
/// A run is a line when it strays by less than so many times the noise...
const STRAY_NOISE: f64 = 1.5;
/// ...or by less than this part of its rise.
const STRAY_RISE: f64 = 0.05;
/// Slope by standard error that is growth, in a run of many samples. A short run must show more:
/// a few samples of noise often lie on a rising line by chance.
const SIGNIFICANT: f64 = 5.0;
/// The least rise that is growth, in descriptors...
const LEAST_RISE: f64 = 4.0;
/// ...and by the noise: more than noise spans.
const LEAST_RISE_BY_NOISE: f64 = 6.0;
/// The least surprise that calls for a second look, in descriptors.
const LEAST_JUMP: f64 = 8.0;

/// Samples of the rest, and the growth that they show.
#[derive(Debug, Default)]
pub(super) struct Growth {
    samples: VecDeque<Sample>,
    trend: Option<Trend>,
    jumped: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    rest: f64,
}

/// Growth that was seen: a rising line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    /// Descriptors a second; above 0.
    pub(super) per_second: f64,
    /// When the last sample was taken.
    at: Instant,
}

impl Trend {
    /// How many descriptors more than at the last sample there are by now.
    pub(super) fn since_last(&self, now: Instant) -> f64 {
        self.per_second * seconds_between(self.at, now)
    }
}

impl Growth {
    /// Takes a sample: `open` and `owned` of one instant.
    pub(super) fn sample(&mut self, now: Instant, open: u32, owned: u32) {
        let sample = Sample { at: now, rest: f64::from(open) - f64::from(owned) };
        self.forget(now);
        let noise = self.noise();
        self.jumped = self.samples.back().is_some_and(|last| {
            let expected = self.trend.map_or(0.0, |trend| trend.since_last(now));
            sample.rest - last.rest - expected > LEAST_JUMP.max(6.0 * noise)
        });
        self.samples.push_back(sample);
        self.trend = self.rising(self.noise());
    }

    /// The growth, if there is one.
    pub(super) fn trend(&self) -> Option<Trend> {
        self.trend
    }

    /// Whether the last sample lies so far above what was expected that a leak may have begun,
    /// at a rate that one sample cannot tell.
    pub(super) fn jumped(&self) -> bool {
        self.jumped
    }

    fn forget(&mut self, now: Instant) {
        while self.samples.len() >= CAPACITY
            || self.samples.front().is_some_and(|oldest| oldest.at + MEMORY < now)
        {
            self.samples.pop_front();
        }
    }

    /// How far samples stray, as a standard deviation: from the median distance of each sample
    /// from the line between its neighbours. A leak's slope does not enter it, nor do a few jumps.
    fn noise(&self) -> f64 {
        let triples = self.samples.len().saturating_sub(2);
        let floor = if triples < SAMPLES_OF_NOISE { UNKNOWN_NOISE } else { LEAST_NOISE };
        if triples == 0 {
            return floor;
        }
        let mut strays: Vec<f64> = (0..triples)
            .map(|i| {
                let (before, middle, after) =
                    (self.samples[i], self.samples[i + 1], self.samples[i + 2]);
                let span = seconds_between(before.at, after.at);
                let part =
                    if span > 0.0 { seconds_between(before.at, middle.at) / span } else { 0.5 };
                (middle.rest - before.rest - part * (after.rest - before.rest)).abs()
            })
            .collect();
        // The distance has 1.5 times the variance of one sample when they are evenly spaced;
        // 1.4826 makes a median of absolute values a standard deviation.
        (1.4826 / 1.5_f64.sqrt() * median(&mut strays)).max(floor)
    }

    /// The line of the run that tells the slope best, if it rises beyond doubt.
    fn rising(&self, noise: f64) -> Option<Trend> {
        let newest = *self.samples.back()?;
        let points: Vec<(f64, f64)> = self
            .samples
            .iter()
            .rev()
            .take_while(|sample| sample.at + WINDOW >= newest.at)
            .map(|sample| (-seconds_between(sample.at, newest.at), sample.rest - newest.rest))
            .collect();
        let (line, error, length) = lengths(points.len())
            .filter_map(|length| {
                let line = Line::through(&points[..length], noise)?;
                let straight =
                    line.stray <= (STRAY_NOISE * noise).max(STRAY_RISE * line.slope * line.span);
                straight.then(|| (line, line.stray.max(noise) / line.spread.sqrt(), length))
            })
            .min_by(|(_, one, _), (_, other, _)| one.total_cmp(other))?;
        let significant = SIGNIFICANT * (1.0 + 4.0 / (length as f64 - 2.0));
        let least_rise = LEAST_RISE.max(LEAST_RISE_BY_NOISE * noise);
        (line.slope >= significant * error && line.slope * line.span >= least_rise)
            .then_some(Trend { per_second: line.slope, at: newest.at })
    }
}

/// Lengths of the runs that are tried: 3, 4, 6, 9, ... and all.
fn lengths(all: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(3_usize), |length| Some(length + length / 2))
        .take_while(move |length| *length < all)
        .chain((all >= 3).then_some(all))
}

/// A least-squares line.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    at_zero: f64,
    /// Root mean square of the residuals.
    stray: f64,
    /// Sum of the squared distances of the times from their mean.
    spread: f64,
    /// From the first time to the last.
    span: f64,
}

impl Line {
    /// Through the points without their outliers; [`None`] when they are all of one instant.
    fn through(points: &[(f64, f64)], noise: f64) -> Option<Line> {
        let line = Line::plain(points)?;
        let mut residuals: Vec<f64> =
            points.iter().map(|point| line.residual(*point).abs()).collect();
        let limit = 3.0 * (1.4826 * median(&mut residuals)).max(noise);
        let near: Vec<(f64, f64)> =
            points.iter().copied().filter(|point| line.residual(*point).abs() <= limit).collect();
        let few = points.len() - near.len() <= points.len() / 5;
        if few && near.len() < points.len() { Line::plain(&near) } else { Some(line) }
    }

    fn plain(points: &[(f64, f64)]) -> Option<Line> {
        let count = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (x, y) = (x / count, y / count);
        let (spread, common) = points.iter().fold((0.0, 0.0), |(spread, common), point| {
            (spread + (point.0 - x).powi(2), common + (point.0 - x) * (point.1 - y))
        });
        if points.len() < 3 || spread <= 0.0 {
            return None;
        }
        let slope = common / spread;
        let (first, last) = (points[points.len() - 1].0, points[0].0);
        let mut line =
            Line { slope, at_zero: y - slope * x, stray: 0.0, spread, span: last - first };
        let squares: f64 = points.iter().map(|point| line.residual(*point).powi(2)).sum();
        line.stray = (squares / (count - 2.0)).sqrt();
        Some(line)
    }

    fn residual(&self, (x, y): (f64, f64)) -> f64 {
        y - self.at_zero - self.slope * x
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn seconds_between(earlier: Instant, later: Instant) -> f64 {
    later.saturating_sub(earlier).as_secs_f64()
}
