//! HDR histograms in formats that other HdrHistogram tools read: V2 with DEFLATE in base64, and percentiles as text.
//!
//! Values are whole units of 2^-20 s. Value `v` means a delay in `(v, v + 1]` units, so a value that is read back is at most
//! `(v + 1) / 2^20` seconds. With these formats the tools can merge histograms of several daemons without losing a count.

use crate::stats::{UNITS_PER_SECOND, duration};
use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Serializer, V2DeflateSerializeError, V2DeflateSerializer},
};
use std::fmt::Write;

/// Steps of a percentile listing for each halving of the distance to 100 %, the default of HdrHistogram's tools.
const TICKS_PER_HALF: u32 = 5;

/// One step of a percentile listing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The longest delay up to this step, in seconds.
    pub seconds: f64,
    /// The share of delays that are at most this long, from 0 to 1.
    pub quantile: f64,
    /// The number of these delays.
    pub count: u64,
}

/// V2 with DEFLATE in base64.
///
/// # Errors
/// If it does not fit into memory.
pub fn encode(histogram: &Histogram<u64>) -> Result<String, V2DeflateSerializeError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// The distribution by percentile. The distance to 100 % halves after a fixed number of steps.
pub fn steps(histogram: &Histogram<u64>) -> Vec<Step> {
    let mut count = 0;
    let step = |value: hdrhistogram::iterators::IterationValue<u64>| {
        count += value.count_since_last_iteration();
        let seconds = duration(value.value_iterated_to()).as_secs_f64();
        Step { seconds, quantile: value.quantile_iterated_to(), count }
    };
    histogram.iter_quantiles(TICKS_PER_HALF).map(step).collect()
}

/// The distribution in the format of HdrHistogram's `outputPercentileDistribution`, in seconds with six decimals.
pub fn percentiles(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    // Writing to a String cannot fail.
    for Step { seconds, quantile, count } in steps(histogram) {
        let _ = write!(text, "{seconds:12.6} {quantile:2.12} {count:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let unit = 1.0 / UNITS_PER_SECOND as f64;
    let (mean, deviation) = (histogram.mean() * unit, histogram.stdev() * unit);
    let max = if histogram.is_empty() { 0.0 } else { duration(histogram.max()).as_secs_f64() };
    let (buckets, sub_buckets) = (histogram.buckets(), sub_buckets(histogram.sigfig()));
    let _ = writeln!(text, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]");
    let _ = writeln!(text, "#[Max     = {max:12.6}, Total count    = {:12}]", histogram.len());
    let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    text
}

/// Cells of the first bucket: enough to distinguish 2 * 10^digits values, rounded up to a power of two.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10u64.pow(digits.into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Precision, empty_histogram, units};
    use std::time::Duration;

    fn histogram(millis: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = empty_histogram(Precision::Cluster);
        for millis in millis {
            histogram.saturating_record(units(Duration::from_millis(millis)));
        }
        histogram
    }

    #[test]
    fn what_is_encoded_reads_back() {
        let histogram = histogram(1..=1_000);
        let text = encode(&histogram).expect("fits");
        // The cookie of V2 with DEFLATE, which all HdrHistogram tools know.
        assert!(text.starts_with("HISTF"), "{text}");
        let bytes = STANDARD.decode(text).expect("base64");
        let back: Histogram<u64> =
            hdrhistogram::serialization::Deserializer::new().deserialize(&mut &*bytes).expect("V2");
        assert_eq!(back, histogram);
    }

    #[test]
    fn percentiles_are_printed_as_the_java_library_prints_them() {
        let text = percentiles(&histogram([10, 20, 30, 4_000]));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[2], "    0.010002 0.000000000000          1           1.00");
        assert_eq!(lines[lines.len() - 4], "    4.000000 1.000000000000          4");
        assert_eq!(lines[lines.len() - 3], "#[Mean    =     1.014756, StdDeviation   =     1.722982]");
        assert_eq!(lines[lines.len() - 2], "#[Max     =     4.000000, Total count    =            4]");
        assert_eq!(lines[lines.len() - 1], "#[Buckets =           22, SubBuckets     =         2048]");
    }

    #[test]
    fn nothing_counted_is_no_error() {
        assert!(percentiles(&histogram([])).contains("Total count    =            0]"));
        assert!(encode(&histogram([])).is_ok() && steps(&histogram([])).is_empty());
    }
}
