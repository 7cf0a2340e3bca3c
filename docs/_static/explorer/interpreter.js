/* Computes what `docs/_ext/recorder.py` wrote down, for many points at once, in double precision.

   Every number carries its derivative along the line that the points are on: forward mode. A result of an operation is
   `{v, d, row}`: `row` numbers for each point, 1 or as many as there are classes, and their derivatives, or null where
   all of them are 0. */

"use strict";

const interpreter = (() => {
  // A derivative of 0 wins over anything: what does not depend on the point has none.
  const times = (factor, d) => (d === 0 ? 0 : factor * d);

  // Of one number: its value, and the factor of its derivative by x and the value y.
  const ONE = {
    neg: [x => -x, () => -1],
    abs: [Math.abs, x => Math.sign(x)],
    exp: [Math.exp, (x, y) => y],
    expm1: [Math.expm1, (x, y) => y + 1],
    log: [Math.log, x => 1 / x],
    log1p: [Math.log1p, x => 1 / (1 + x)],
    sinh: [Math.sinh, x => Math.cosh(x)],
    cosh: [Math.cosh, x => Math.sinh(x)],
    // 1 - tanh^2 would cancel far out.
    tanh: [Math.tanh, x => 1 / (Math.cosh(x) * Math.cosh(x))],
    sqrt: [Math.sqrt, (x, y) => 0.5 / y],
    sign: [Math.sign, null],
    floor: [Math.floor, null],
    not: [x => (x ? 0 : 1), null],
    isfinite: [x => (Number.isFinite(x) ? 1 : 0), null],
    isinf: [x => (Math.abs(x) === Infinity ? 1 : 0), null],
    isnan: [x => (Number.isNaN(x) ? 1 : 0), null],
    stop: [x => x, null],
  };

  // Of two: the value, and the derivative.
  const TWO = {
    add: [(x, y) => x + y, (x, y, dx, dy) => dx + dy],
    sub: [(x, y) => x - y, (x, y, dx, dy) => dx - dy],
    mul: [(x, y) => x * y, (x, y, dx, dy) => times(y, dx) + times(x, dy)],
    div: [(x, y) => x / y, (x, y, dx, dy) => (dx - times(x / y, dy)) / y],
    pow: [Math.pow, (x, y, dx, dy) => times(y * Math.pow(x, y - 1), dx) + times(Math.pow(x, y) * Math.log(x), dy)],
    maximum: [Math.max, (x, y, dx, dy) => (x >= y ? dx : dy)],
    minimum: [Math.min, (x, y, dx, dy) => (x <= y ? dx : dy)],
    lt: [(x, y) => (x < y ? 1 : 0), null],
    le: [(x, y) => (x <= y ? 1 : 0), null],
    gt: [(x, y) => (x > y ? 1 : 0), null],
    ge: [(x, y) => (x >= y ? 1 : 0), null],
    eq: [(x, y) => (x === y ? 1 : 0), null],
    ne: [(x, y) => (x !== y ? 1 : 0), null],
    and: [(x, y) => (x && y ? 1 : 0), null],
    or: [(x, y) => (x || y ? 1 : 0), null],
    xor: [(x, y) => (x ? !y : y) ? 1 : 0, null],
  };

  const numbers = (points, row, filled = 0) => new Float64Array(points * row).fill(filled);

  // The numbers of `array`, which has 1 or `row` for each point, with `row` for each.
  function stretch(array, from, row) {
    if (array === null || from === row) return array;
    return numbers(array.length, row).map((_, place) => array[Math.floor(place / row)]);
  }

  function one(points, x, [value, factor]) {
    const v = x.v.map(value);
    const d = factor && x.d ? x.d.map((dx, place) => times(factor(x.v[place], v[place]), dx)) : null;
    return { v, d, row: x.row };
  }

  function two(points, x, y, [value, slope]) {
    const row = Math.max(x.row, y.row);
    const [a, da, b, db] = [x.v, x.d, y.v, y.d].map((array, k) => stretch(array, k < 2 ? x.row : y.row, row));
    const v = numbers(points, row);
    for (let k = 0; k < v.length; k++) v[k] = value(a[k], b[k]);
    if (slope === null || (da === null && db === null)) return { v, d: null, row };
    const d = numbers(points, row);
    for (let k = 0; k < v.length; k++) d[k] = slope(a[k], b[k], da ? da[k] : 0, db ? db[k] : 0);
    return { v, d, row };
  }

  function where(points, condition, x, y) {
    const row = Math.max(condition.row, x.row, y.row);
    const chosen = stretch(condition.v, condition.row, row);
    const pick = (a, b) => numbers(points, row).map((_, k) => (chosen[k] ? (a ? a[k] : 0) : b ? b[k] : 0));
    const [a, da, b, db] = [x.v, x.d, y.v, y.d].map((array, k) => stretch(array, k < 2 ? x.row : y.row, row));
    return { v: pick(a, b), d: da || db ? pick(da, db) : null, row };
  }

  // Something that is done to each row: `rule(values, derivatives)` returns both of its result.
  function rows(points, x, row, rule) {
    const v = numbers(points, row);
    const d = x.d ? numbers(points, row) : null;
    for (let point = 0; point < points; point++) {
      const part = array => Array.from(array.subarray(point * x.row, (point + 1) * x.row));
      const [values, slopes] = rule(part(x.v), x.d ? part(x.d) : null);
      v.set(values, point * row);
      if (d) d.set(slopes, point * row);
    }
    return { v, d, row };
  }

  const total = array => array.reduce((sum, term) => sum + term, 0);
  const at = (array, places) => array && places.map(place => array[place]);

  // The place of the first entry than which none is better.
  const best = (values, better) => values.reduce((found, v, place) => (better(v, values[found]) ? place : found), 0);

  const ROWS = {
    sum: (points, x) => rows(points, x, 1, (v, d) => [[total(v)], d && [total(d)]]),
    max: (points, x) => rows(points, x, 1, (v, d) => [[Math.max(...v)], at(d, [best(v, (a, b) => a > b)])]),
    min: (points, x) => rows(points, x, 1, (v, d) => [[Math.min(...v)], at(d, [best(v, (a, b) => a < b)])]),
    sort: (points, x) => rows(points, x, x.row, (v, d) => {
      const order = v.map((_, place) => place).sort((i, j) => v[i] - v[j]);
      return [at(v, order), at(d, order)];
    }),
    cumsum: (points, x, initial) => rows(points, x, x.row + initial, (v, d) => {
      const sums = array => {
        let sum = 0;
        const found = array.map(term => (sum += term));
        return initial ? [0, ...found] : found;
      };
      return [sums(v), d && sums(d)];
    }),
    entry: (points, x, place) => rows(points, x, 1, (v, d) => [[v[place]], at(d, [place])]),
    slice: (points, x, start, stop) => rows(points, x, x.row - start + stop, (v, d) => {
      const cut = array => array.slice(start, array.length + stop);
      return [cut(v), d && cut(d)];
    }),
  };

  /* Value, gradient along the line and the derivative of that, at many points.

     graph     operations, and where value and gradient are among them
     points    how many points there are
     inputs    by its name, a number for all points, or `{v, d, row}`
     classes   how many classes a row has
     direction how much each entry of the first array changes along the line: one number, or one for each class */
  function evaluate(graph, points, inputs, classes, direction) {
    const found = [];
    for (const [op, ...args] of graph.nodes) {
      const of = number => found[number];
      if (op === "input") {
        const given = inputs[args[0]];
        found.push(typeof given === "number" ? { v: numbers(points, 1, given), d: null, row: 1 } : given);
      } else if (op === "const") {
        found.push({ v: numbers(points, 1, args[0]), d: null, row: 1 });
      } else if (op === "classes") {
        found.push({ v: numbers(points, 1, classes), d: null, row: 1 });
      } else if (op === "arange") {
        found.push({ v: numbers(points, classes).map((_, place) => place % classes), d: null, row: classes });
      } else if (op === "spread") {
        const [number, like] = args.map(of);
        found.push({ v: numbers(points, like.row, number.v[0]), d: null, row: like.row });
      } else if (op === "where") {
        found.push(where(points, ...args.map(of)));
      } else if (op in ONE) {
        found.push(one(points, of(args[0]), ONE[op]));
      } else if (op in TWO) {
        found.push(two(points, of(args[0]), of(args[1]), TWO[op]));
      } else {
        found.push(ROWS[op](points, of(args[0]), ...args.slice(1)));
      }
    }
    const [value, gradient] = graph.results.map(number => found[number]);
    const along = array => {
      const sums = numbers(points, 1);
      const slopes = stretch(array, gradient.row, direction.length);
      if (slopes === null) return sums;
      const width = direction.length;
      slopes.forEach((slope, k) => (sums[Math.floor(k / width)] += times(slope, direction[k % width])));
      return sums;
    };
    return { value: value.v, gradient: along(gradient.v), second: along(gradient.d) };
  }

  return { evaluate };
})();

if (typeof module !== "undefined") module.exports = interpreter;
