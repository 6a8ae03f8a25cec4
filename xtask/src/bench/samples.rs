//! Times of several runs and what they come to.

use std::fmt;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Samples {
    sorted: Vec<Duration>,
}

impl Samples {
    pub(super) fn add(&mut self, time: Duration) {
        let at = self.sorted.partition_point(|other| *other <= time);
        self.sorted.insert(at, time);
    }

    /// The middle one, or the mean of the two in the middle; zero if there is none.
    pub(super) fn median(&self) -> Duration {
        let middle = self.sorted.len() / 2;
        match self.sorted.as_slice() {
            [] => Duration::ZERO,
            odd if odd.len() % 2 == 1 => odd[middle],
            even => (even[middle - 1] + even[middle]) / 2,
        }
    }

    /// The time within which so many percent were done; zero if there is none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.sorted.len() * percent).div_ceil(100).saturating_sub(1);
        self.sorted.get(at).copied().unwrap_or_default()
    }
}

impl Samples {
    /// The median of these to the median of `others`.
    pub(super) fn ratio(&self, others: &Self) -> f64 {
        self.median().as_secs_f64() / others.median().as_secs_f64()
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        let [min, median, max] =
            [seconds(self.sorted.first()), self.median().as_secs_f64(), seconds(self.sorted.last())];
        if median < 0.2 {
            let [min, median, max] = [min, median, max].map(|time| time * 1000.0);
            return write!(f, "min {min:.2} ms, median {median:.2} ms, max {max:.2} ms");
        }
        write!(f, "min {min:.3} s, median {median:.3} s, max {max:.3} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(millis: &[u64]) -> Samples {
        let mut samples = Samples::default();
        for time in millis {
            samples.add(Duration::from_millis(*time));
        }
        samples
    }

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(samples(&[900, 100, 200]).median(), Duration::from_millis(200));
        assert_eq!(samples(&[400, 100, 200, 900]).median(), Duration::from_millis(300));
        assert_eq!(samples(&[]).median(), Duration::ZERO);
    }

    #[test]
    fn percentiles() {
        let hundred = samples(&(1..=100).collect::<Vec<_>>());
        let millis = |percent| hundred.percentile(percent).as_millis();
        assert_eq!([0, 1, 50, 99, 100].map(millis), [1, 1, 50, 99, 100]);
        assert_eq!(samples(&[]).percentile(50), Duration::ZERO);
    }

    #[test]
    fn says_the_range() {
        assert_eq!(samples(&[900, 100, 200]).to_string(), "min 0.100 s, median 0.200 s, max 0.900 s");
        assert_eq!(samples(&[1, 2, 9]).to_string(), "min 1.00 ms, median 2.00 ms, max 9.00 ms");
        assert!((samples(&[1, 2, 9]).ratio(&samples(&[4])) - 0.5).abs() < 1e-9);
    }
}
