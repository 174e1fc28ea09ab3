//! How fast the descriptors grow that a worker has open and does not own.
//!
//! Each count gives a sample of the *rest*: open less owned. Honest load moves open and owned
//! together and leaves the rest where it was; a leak raises it. The estimate is a least-squares
//! line over the run of recent samples with the most certain slope:
//!
//! - runs of several lengths are tried, up to ten seconds back; a run counts when it lies on one
//!   line: its residuals are little above the noise ([`Growth::noise`]), or a small part of the
//!   rise (leaks come in bursts);
//! - of these the one with the least standard error is taken. A longer run has less, unless it
//!   reaches back over the beginning of the leak, which would dilute the slope;
//! - outliers (a count in the middle of a burst of opens) are left out of a run, up to a fifth.
//!
//! It is growth only when the slope is significant and the rise is of several descriptors, so that
//! noise never looks like a slow leak. A slower leak (less than about one descriptor in two
//! seconds) is left to the limit of unexplained descriptors.

use std::{collections::VecDeque, time::Duration};

use super::Instant;

/// The longest run that a line is fitted to.
const WINDOW: Duration = Duration::from_secs(10);
/// How long samples are kept, to know the noise.
const MEMORY: Duration = Duration::from_secs(60);
/// The most samples kept: ten seconds at the shortest interval.
const CAPACITY: usize = 512;
/// The least noise: half a descriptor, from counting in whole ones.
const LEAST_NOISE: f64 = 0.5;
/// With fewer samples the noise is at least [`UNKNOWN_NOISE`].
const SAMPLES_OF_NOISE: usize = 8;
/// See [`SAMPLES_OF_NOISE`].
const UNKNOWN_NOISE: f64 = 1.0;
/// A run is a line when its residuals are below so many times the noise...
const MAX_RESIDUAL_BY_NOISE: f64 = 1.5;
/// ...or below this part of its rise.
const MAX_RESIDUAL_BY_RISE: f64 = 0.05;
/// The least slope by its standard error that is growth, in a run of many samples. A short run
/// needs more: a few samples of noise often lie on a rising line by chance.
const SIGNIFICANT: f64 = 5.0;
/// The least rise that is growth, in descriptors...
const LEAST_RISE: f64 = 4.0;
/// ...and as a multiple of the noise.
const LEAST_RISE_BY_NOISE: f64 = 6.0;
/// The least jump above what was expected that asks for another count, in descriptors.
const LEAST_JUMP: f64 = 8.0;

/// Samples of the rest, and their growth.
#[derive(Debug, Default)]
pub(super) struct Growth {
    samples: VecDeque<Sample>,
    pub(super) trend: Option<Trend>,
    /// Whether the last sample is so far above what was expected that a leak may have begun, at a
    /// rate that one sample cannot tell.
    pub(super) jumped: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    rest: f64,
}

/// A rising line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    /// Descriptors a second; above 0.
    pub(super) per_second: f64,
    /// The last sample's time.
    at: Instant,
}

impl Trend {
    /// The rise expected since the last sample.
    pub(super) fn since_last(&self, now: Instant) -> f64 {
        self.per_second * seconds_between(self.at, now)
    }
}

impl Growth {
    /// `open` and `owned` are of one instant.
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

    fn forget(&mut self, now: Instant) {
        while self.samples.len() >= CAPACITY
            || self.samples.front().is_some_and(|oldest| oldest.at + MEMORY < now)
        {
            self.samples.pop_front();
        }
    }

    /// The standard deviation of the samples, from the median distance of each one to the line
    /// between its neighbours. Neither a leak's slope nor a few jumps enter it.
    fn noise(&self) -> f64 {
        let triples = self.samples.len().saturating_sub(2);
        let floor = if triples < SAMPLES_OF_NOISE { UNKNOWN_NOISE } else { LEAST_NOISE };
        if triples == 0 {
            return floor;
        }
        let mut distances: Vec<f64> = (0..triples)
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
        (1.4826 / 1.5_f64.sqrt() * median(&mut distances)).max(floor)
    }

    /// The line with the most certain slope, if its rise is significant.
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
                let line = Line::fit(&points[..length], noise)?;
                let straight = line.residual_rms
                    <= (MAX_RESIDUAL_BY_NOISE * noise)
                        .max(MAX_RESIDUAL_BY_RISE * line.slope * line.span);
                straight.then(|| (line, line.residual_rms.max(noise) / line.spread.sqrt(), length))
            })
            .min_by(|(_, one, _), (_, other, _)| one.total_cmp(other))?;
        let significant = SIGNIFICANT * (1.0 + 4.0 / (length as f64 - 2.0));
        let least_rise = LEAST_RISE.max(LEAST_RISE_BY_NOISE * noise);
        (line.slope >= significant * error && line.slope * line.span >= least_rise)
            .then_some(Trend { per_second: line.slope, at: newest.at })
    }
}

/// Lengths of the tried runs: 3, 4, 6, 9, ... and all.
fn lengths(all: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(3_usize), |length| Some(length + length / 2))
        .take_while(move |length| *length < all)
        .chain((all >= 3).then_some(all))
}

/// A least-squares line.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    intercept: f64,
    /// Root mean square of the residuals.
    residual_rms: f64,
    /// Sum of the squared distances of the times from their mean.
    spread: f64,
    /// From the first time to the last.
    span: f64,
}

impl Line {
    /// A fit without outliers; [`None`] when all points are of one instant.
    fn fit(points: &[(f64, f64)], noise: f64) -> Option<Line> {
        let line = Line::least_squares(points)?;
        let mut residuals: Vec<f64> =
            points.iter().map(|point| line.residual(*point).abs()).collect();
        let limit = 3.0 * (1.4826 * median(&mut residuals)).max(noise);
        let near: Vec<(f64, f64)> =
            points.iter().copied().filter(|point| line.residual(*point).abs() <= limit).collect();
        let few = points.len() - near.len() <= points.len() / 5;
        if few && near.len() < points.len() { Line::least_squares(&near) } else { Some(line) }
    }

    fn least_squares(points: &[(f64, f64)]) -> Option<Line> {
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
            Line { slope, intercept: y - slope * x, residual_rms: 0.0, spread, span: last - first };
        let squares: f64 = points.iter().map(|point| line.residual(*point).powi(2)).sum();
        line.residual_rms = (squares / (count - 2.0)).sqrt();
        Some(line)
    }

    fn residual(&self, (x, y): (f64, f64)) -> f64 {
        y - self.intercept - self.slope * x
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn seconds_between(earlier: Instant, later: Instant) -> f64 {
    later.saturating_sub(earlier).as_secs_f64()
}
