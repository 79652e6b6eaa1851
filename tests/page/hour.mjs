// An hour as /api/v1/history would return it, in which the controller was slow for a while and then stopped: a test cannot wait for one.

/** Octaves of the answer's counts. */
const BOUNDS = Array.from({ length: 23 }, (_, octave) => 2 ** (octave - 10));

/** The minutes in which delays were long, and those in which nothing ended and much was missed. */
export const SLOW = [22, 27];
export const STILL = [38, 43];

/** The answer; its last minute began half a minute ago. */
export function hour({ objective = null, minutes = 60 } = {}) {
  const now = Date.now();
  const start = (minute) => new Date(now - 30e3 - (59 - minute) * 60e3).toISOString();
  const intervals = Array.from({ length: 60 }, (_, minute) => ({ start: start(minute), ...told(minute) })).slice(60 - minutes);
  return { time: new Date(now).toISOString(), interval_seconds: 60, objective_seconds: objective, bounds: BOUNDS, intervals };
}

function told(minute) {
  const within = ([first, last]) => minute >= first && minute <= last;
  const counts = BOUNDS.map(() => 0);
  let missed = 0;
  if (within(STILL)) {
    missed = 30 + minute;
  } else {
    const rolls = minute % 9 === 0;
    [[3, 6], [4, 40], [5, rolls ? 320 : 90], [6, rolls ? 150 : 20], [7, minute % 4], [8, minute % 7 === 0 ? 1 : 0]]
      .forEach(([octave, number]) => { counts[octave] = number; });
    if (within(SLOW)) [[10, 25], [11, 40], [12, 18], [13, 9]].forEach(([octave, number]) => { counts[octave] = number; });
    if (within(SLOW)) missed = 9;
    if (minute === STILL[1] + 1) counts[18] = 12;
  }
  const count = counts.reduce((sum, number) => sum + number, 0);
  const reached = (share) => {
    let passed = 0;
    const octave = counts.findIndex((number) => (passed += number) >= share * count);
    return count === 0 ? null : BOUNDS[octave] * 0.75;
  };
  return { missed, count, p50: reached(0.5), p90: reached(0.9), p99: reached(0.99), p99_9: reached(0.999), max: reached(1), counts };
}
