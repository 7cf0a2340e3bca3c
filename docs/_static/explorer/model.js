/* What the explorer knows without a page: the losses and what they may be given, curves, and the state in a link. */

"use strict";

const model = (() => {
  const { losses, builtins } = explorerData;
  const MOST = 6;
  const CLASSES = { name: "classes", low: 2, high: 100, open: [false, false], forms: ["any"], whole: true };

  const holds = (domain, x) =>
    domain.ends
      ? x === domain.low || x === domain.high
      : (domain.low < x || (x === domain.low && !domain.open[0])) &&
        (x < domain.high || (x === domain.high && !domain.open[1]));

  // The domain of an array, which may depend on a parameter.
  const domainOf = (array, settings) => (array.unless && settings[array.unless] ? array.instead : array);

  /* What can be set of a loss: its arrays but the first, or how many classes there are; and its parameters. */
  function controls(name) {
    const loss = losses[name];
    return [...(loss.rows ? [CLASSES] : loss.arrays.slice(1)), ...loss.parameters];
  }

  const isNumber = control => !control.forms || control.forms.includes("any");
  const isOptional = control => Boolean(control.forms && control.forms.includes(null));

  // What a slider starts with where the library has no default.
  const ordinary = domain => (domain.low === -Infinity && domain.high === Infinity ? 0 : Math.max(1, domain.low));

  // What an optional parameter starts with where it is switched on.
  const given = domain => (domain.high < Infinity ? domain.low + (domain.high - domain.low) / 4 : 2);

  function defaults(name) {
    return Object.fromEntries(
      controls(name).map(control => [control.name, "default" in control ? control.default : ordinary(control)]),
    );
  }

  /* Where a slider ends, and how far a step of it is. Other numbers are typed. */
  function slider(control, settings) {
    const domain = domainOf(control, settings);
    const [low, high] = [Math.max(domain.low, -10), Math.min(domain.high, 10)];
    if (control.whole) return { low: domain.low, high: domain.high, step: 1 };
    const step = high - low > 1 ? 0.01 : 0.001;
    return { low: holds(domain, low) ? low : low + step, high: holds(domain, high) ? high : high - step, step };
  }

  function allowed(control, value, settings) {
    if (!isNumber(control)) return control.forms.includes(value);
    if (value === null) return isOptional(control);
    return typeof value === "number" && holds(domainOf(control, settings), value) && (!control.whole || value % 1 === 0);
  }

  function graphOf(name, settings) {
    const loss = losses[name];
    const forms = loss.parameters.map(parameter => {
      const form = parameter.forms.indexOf(settings[parameter.name]);
      return form < 0 ? parameter.forms.indexOf("any") : form;
    });
    return loss.graphs[forms.join(",")];
  }

  /* Value, gradient and second derivative at some points; NaN outside of the domain.

     A row has the point as the logit of the right class, and 0 as all others: the margin between them. */
  function compute(name, settings, xs) {
    const loss = losses[name];
    const [first, ...others] = loss.arrays;
    const domain = domainOf(first, settings);
    const classes = settings.classes || 1;
    const direction = Array.from({ length: classes }, (_, entry) => (entry === 0 ? 1 : 0));
    const v = new Float64Array(xs.length * classes);
    xs.forEach((x, point) => (v[point * classes] = x));
    const d = v.map((_, place) => direction[place % classes]);
    const inputs = { ...settings, [first.name]: { v, d, row: classes } };
    if (loss.rows) others.forEach(array => (inputs[array.name] = 0));
    const found = interpreter.evaluate(graphOf(name, settings), xs.length, inputs, classes, direction);
    for (const part of Object.values(found)) xs.forEach((x, point) => holds(domain, x) || (part[point] = NaN));
    return found;
  }

  // ------------------------------------------------------------------------------------------- built-ins that differ

  const builtinsOf = name => builtins.curves.filter(curve => curve.loss === name);
  const builtinOf = curve => builtinsOf(curve.loss).find(builtin => builtin.name === curve.beside);
  const isAsMeasured = curve => {
    const builtin = builtinOf(curve);
    return Object.entries(builtin.settings).every(([name, value]) => curve.settings[name] === value);
  };

  // ------------------------------------------------------------------------------------------------ the state in a link

  const SCALES = ["linear", "log"];
  const START = "loss=mse&loss=l1&loss=huber&from=-4&to=4&at=1.5";

  const text = value => (value === null ? "none" : String(value));
  const WORDS = { none: null, true: true, false: false };
  const parsed = word => {
    if (Object.hasOwn(WORDS, word)) return WORDS[word];
    return word.trim() === "" || Number.isNaN(Number(word)) ? word : Number(word);
  };

  function curveOf(words) {
    const [loss, ...pairs] = words.split(",");
    if (!Object.hasOwn(losses, loss)) throw new Error(`there is no loss ${loss} here`);
    const curve = { loss, settings: defaults(loss), beside: "" };
    for (const pair of pairs) {
      // A name of a built-in may have another = in it.
      const [, key, word] = pair.match(/^([^=]*)=?(.*)$/);
      if (key === "beside" && builtinsOf(loss).some(builtin => builtin.name === word)) curve.beside = word;
      else if (controls(loss).some(control => control.name === key)) curve.settings[key] = parsed(word);
      else throw new Error(`${loss} has no ${pair}`);
    }
    // Now all are known that a domain may depend on.
    for (const control of controls(loss)) {
      const value = curve.settings[control.name];
      if (!allowed(control, value, curve.settings)) throw new Error(`${loss} has no ${control.name}=${text(value)}`);
    }
    return curve;
  }

  /* The state that a fragment of an address describes, and what of it was left out because it is wrong. */
  function read(fragment) {
    const words = new URLSearchParams(fragment || START);
    const wrong = [];
    const attempt = (make, otherwise) => {
      try {
        return make();
      } catch (error) {
        wrong.push(error.message);
        return otherwise;
      }
    };
    const number = (key, otherwise) => attempt(() => {
      if (!words.has(key)) return otherwise;
      const found = Number(words.get(key));
      if (!words.get(key).trim() || !Number.isFinite(found)) {
        throw new Error(`${key} must be a number, got ${words.get(key)}`);
      }
      return found;
    }, otherwise);
    const scale = key => attempt(() => {
      const found = words.get(key) ?? "linear";
      if (!SCALES.includes(found)) throw new Error(`${key} must be linear or log, got ${found}`);
      return found;
    }, "linear");
    const curves = words.getAll("loss").map(one => attempt(() => curveOf(one), null)).filter(Boolean).slice(0, MOST);
    const state = { curves, across: scale("across"), up: scale("up"), from: number("from", -8), to: number("to", 8), at: 0 };
    if (state.across === "log" && state.from <= 0) state.from = 1e-6;
    if (state.to <= state.from) {
      wrong.push(`to must be above from, got ${state.from} and ${state.to}`);
      state.to = state.across === "log" ? 10 * state.from : state.from + 1;
    }
    state.at = Math.min(Math.max(number("at", state.from), state.from), state.to);
    return { state, wrong };
  }

  function write(state) {
    const words = state.curves.map(({ loss, settings, beside }) => {
      const usual = defaults(loss);
      const changed = Object.entries(settings).filter(([key, value]) => value !== usual[key]);
      const pairs = changed.map(([key, value]) => `${key}=${text(value)}`);
      return `loss=${[loss, ...pairs, ...(beside ? [`beside=${beside}`] : [])].join(",")}`;
    });
    for (const key of ["from", "to", "at"]) words.push(`${key}=${state[key]}`);
    for (const key of ["across", "up"]) if (state[key] !== "linear") words.push(`${key}=${state[key]}`);
    return words.join("&");
  }

  return {
    MOST, losses, controls, defaults, slider, allowed, given, isNumber, isOptional, domainOf, holds,
    compute, builtinsOf, builtinOf, isAsMeasured, curveOf, read, write, START,
  };
})();
