// Durations in Prometheus' format with one unit: '90s', '5m', '1d'.
{
  local seconds = { s: 1, m: 60, h: 60 * 60, d: 24 * 60 * 60 },

  // In seconds.
  seconds(duration)::
    local end = std.length(duration) - 1;
    std.parseInt(duration[:end]) * seconds[duration[end]],
}
