/* The page of the loss explorer: controls, pictures, and the numbers at the cursor. */

"use strict";

(() => {
  const place = document.getElementById("explorer-here");
  if (!place) return;

  const PARTS = [
    { key: "value", title: "Value", noun: "value" },
    { key: "gradient", title: "Gradient", noun: "gradient" },
    { key: "second", title: "Second derivative", noun: "second derivative" },
  ];
  const POINTS = 481;
  const DECADES = 60;
  const LETTERS = "ABCDEF";
  const DASHES = ["", "9 4", "2 3", "10 3 2 3", "16 4", "5 2 1 2 1 2"];
  const PRESETS = [
    ["Regression", [-6, 6, 2], "mse", "l1", "huber", "log_cosh", "tukey_biweight"],
    ["Two classes", [-4, 4, -1], "binary_cross_entropy_with_logits", "sigmoid_focal", "squared_hinge", "hinge"],
    ["Ten classes", [-6, 10, 1], ...["cross_entropy", "softmax_focal", "generalized_cross_entropy", "multi_margin"]
      .map(name => `${name},classes=10`)],
    ["A confident row: float32 rounds to 0", [0, 30, "17&up=log"], "cross_entropy,beside=torch.cross_entropy"],
    ["A small error: float32 loses its digits", [1e-6, 10, "0.0001&across=log&up=log"], "log_cosh,beside=keras.log_cosh"],
  ].map(([title, [from, to, at], ...losses]) => [
    title, `#${losses.map(loss => `loss=${loss}`).join("&")}&from=${from}&to=${to}&at=${at}`,
  ]);

  // ---------------------------------------------------------------------------------------------------------- elements

  const SVG = "http://www.w3.org/2000/svg";

  function make(tag, attributes = {}, ...children) {
    const found = document.createElement(tag);
    return fill(found, attributes, children);
  }

  function draw(tag, attributes = {}, ...children) {
    const found = document.createElementNS(SVG, tag);
    return fill(found, attributes, children);
  }

  function fill(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children.flat().filter(child => child !== null));
    return element;
  }

  let made = 0;
  const freshId = () => `explorer-${++made}`;

  // ----------------------------------------------------------------------------------------------------------- numbers

  function short(x, digits = 6) {
    if (Number.isNaN(x)) return "undefined";
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
    const plain = x === 0 || (Math.abs(x) >= 1e-4 && Math.abs(x) < 1e6);
    const found = plain ? String(Number(x.toPrecision(digits))) : x.toExponential(digits - 1).replace(/\.?0+e/, "e");
    return found.replace("e+", "e").replaceAll("-", "−");
  }

  function steps(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough * 0.999);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= high / step + 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
    return found;
  }

  function decades(low, high, count) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    const step = Math.max(1, Math.ceil((last - first) / count));
    const found = [];
    for (let k = first; k <= last; k += step) found.push(Number(`1e${k}`));
    // Of less than a decade, there is more to say than one number.
    return found.length > 1 ? found : steps(low, high, count);
  }

  // ------------------------------------------------------------------------------------------------------------- state

  let { state, wrong } = model.read(location.hash.slice(1));
  let later = 0;

  const across = () => (state.across === "log" ? [Math.log(state.from), Math.log(state.to)] : [state.from, state.to]);
  const toX = share => {
    const [low, high] = across();
    const x = low + share * (high - low);
    return state.across === "log" ? Math.exp(x) : x;
  };
  const toShare = x => {
    const [low, high] = across();
    return ((state.across === "log" ? Math.log(x) : x) - low) / (high - low);
  };

  /* Draw anew after a change. The link follows when nothing has changed for a moment: browsers count such changes. */
  function changed({ controls = false } = {}) {
    if (controls) showControls();
    show();
    window.clearTimeout(later);
    later = window.setTimeout(() => {
      history.replaceState(null, "", `#${model.write(state)}`);
      say(spoken());
    }, 300);
  }

  function load(fragment) {
    ({ state, wrong } = model.read(fragment));
    changed({ controls: true });
  }

  // ---------------------------------------------------------------------------------------------------------- controls

  const chosen = make("div", { class: "explorer-curves" });
  const notice = make("p", { class: "explorer-notice", role: "alert" });
  const status = make("p", { class: "explorer-hidden", role: "status" });
  const axes = {};

  const say = words => {
    if (status.textContent !== words) status.textContent = words;
  };

  /* A slider and a box for the same number: one is quick, the other exact. */
  function numberControl(label, { low, high, step, value, accept }) {
    const id = freshId();
    const range = make("input", { type: "range", id, min: low, max: high, step });
    const box = make("input", { type: "number", step: "any", "aria-label": `${label}, exactly` });
    range.value = box.value = value;
    const take = source => () => {
      const x = source.value.trim() === "" ? NaN : Number(source.value);
      const fits = Number.isFinite(x) && accept(x);
      box.setAttribute("aria-invalid", String(!fits));
      if (!fits) return;
      (source === range ? box : range).value = x;
    };
    range.addEventListener("input", take(range));
    box.addEventListener("input", take(box));
    return make("div", { class: "explorer-number" }, make("label", { for: id }, label), range, box);
  }

  function control(curve, one) {
    const value = curve.settings[one.name];
    // By which it gets the focus back, once it is made anew.
    const key = `${state.curves.indexOf(curve)} ${one.name}`;
    const set = x => {
      if (!model.allowed(one, x, curve.settings)) return false;
      curve.settings[one.name] = x;
      return true;
    };
    if (!model.isNumber(one) || one.ends) {
      const forms = one.ends && model.isNumber(one) ? [one.low, one.high] : one.forms;
      const id = freshId();
      const select = make("select", {
        id, "data-key": key,
        onchange: () => {
          set(forms[select.selectedIndex]);
          // What another control may be can depend on this one.
          changed({ controls: true });
        },
      }, forms.map(form => make("option", { selected: form === value }, String(form))));
      return make("div", { class: "explorer-choice" }, make("label", { for: id }, one.name), select);
    }
    const number = numberControl(one.name, {
      ...model.slider(one, curve.settings),
      value: value ?? model.given(one),
      accept: x => {
        const fits = set(x);
        if (fits) changed();
        return fits;
      },
    });
    if (one.text) number.title = `${one.name}: ${one.text}`;
    if (!model.isOptional(one)) return number;
    const id = freshId();
    const given = make("input", {
      type: "checkbox", id, checked: value !== null, "data-key": key,
      onchange: event => {
        set(event.target.checked ? model.given(one) : null);
        changed({ controls: true });
      },
    });
    const choice = make("div", { class: "explorer-choice" }, given, make("label", { for: id }, `with ${one.name}`));
    return make("div", {}, choice, value === null ? null : number);
  }

  function besides(curve) {
    const builtins = model.builtinsOf(curve.loss);
    if (!builtins.length) return null;
    const id = freshId();
    const option = name => make("option", { value: name, selected: name === curve.beside }, name || "none");
    const select = make("select", {
      id, "data-key": `${state.curves.indexOf(curve)} beside`,
      onchange: () => {
        curve.beside = select.value;
        if (curve.beside) Object.assign(curve.settings, model.builtinOf(curve).settings);
        changed({ controls: true });
      },
    }, ["", ...builtins.map(one => one.name)].map(option));
    return make("div", { class: "explorer-choice" }, make("label", { for: id }, "built-in beside it"), select);
  }

  function curveControls(curve, index) {
    const letter = LETTERS[index];
    const remove = make("button", {
      type: "button", "aria-label": `Remove ${letter}, ${curve.loss}`,
      onclick: () => {
        state.curves.splice(index, 1);
        changed({ controls: true });
        add.focus();
      },
    }, "Remove");
    // Where there is little room, the pictures should not be far below.
    curve.open ??= state.curves.length <= (place.clientWidth >= 800 ? 3 : 1);
    return make("details", { open: curve.open, ontoggle: event => (curve.open = event.target.open) },
      make("summary", {}, sample(index), ` ${letter} `, make("code", {}, curve.loss)),
      make("div", { class: "explorer-curve", role: "group", "aria-label": `${letter}, ${curve.loss}` },
        make("p", { class: "explorer-summary" }, model.losses[curve.loss].summary),
        model.controls(curve.loss).map(one => control(curve, one)),
        besides(curve),
        make("div", { class: "explorer-buttons" }, remove)));
  }

  const add = make("select", { id: "explorer-add" }, Object.keys(model.losses).map(name => make("option", {}, name)));
  const addButton = make("button", {
    type: "button",
    onclick: () => {
      state.curves.push({ ...model.curveOf(add.value), open: true });
      changed({ controls: true });
    },
  }, "Add");
  const link = make("a", { class: "explorer-link", href: "#" }, "Link to this view");

  function axisNumber(key, label) {
    const box = make("input", {
      type: "number", step: "any", id: `explorer-${key}`,
      oninput: () => {
        const given = { ...state, [key]: box.value.trim() === "" ? NaN : Number(box.value) };
        const fits = Number.isFinite(given[key]) && given.from < given.to && (state.across === "linear" || given.from > 0);
        box.setAttribute("aria-invalid", String(!fits));
        if (!fits) return;
        state = { ...given, at: Math.min(Math.max(state.at, given.from), given.to) };
        changed();
      },
    });
    axes[key] = box;
    return make("div", { class: "explorer-choice" }, make("label", { for: box.id }, label), box);
  }

  function axisScale(key, label) {
    const box = make("input", {
      type: "checkbox", id: `explorer-${key}`,
      onchange: () => {
        state[key] = box.checked ? "log" : "linear";
        // A logarithmic axis starts above 0.
        if (key === "across" && box.checked && state.from <= 0) {
          state.from = 1e-6;
          state.to = Math.max(state.to, 1);
          state.at = Math.max(state.at, state.from);
        }
        changed({ controls: true });
      },
    });
    axes[key] = box;
    return make("div", { class: "explorer-choice" }, box, make("label", { for: box.id }, label));
  }

  function showControls() {
    const focused = document.activeElement.dataset.key;
    chosen.replaceChildren(...state.curves.map(curveControls));
    if (focused) chosen.querySelector(`[data-key="${focused}"]`)?.focus();
    addButton.disabled = state.curves.length >= model.MOST;
    addButton.title = addButton.disabled ? `No more than ${model.MOST} in one picture` : "";
    for (const key of ["from", "to"]) {
      axes[key].value = state[key];
      axes[key].removeAttribute("aria-invalid");
    }
    for (const key of ["across", "up"]) axes[key].checked = state[key] === "log";
  }

  // ------------------------------------------------------------------------------------------------------------ curves

  /* All lines of the pictures: losses, and behind each the built-in beside it. */
  function lines() {
    const xs = Float64Array.from({ length: POINTS }, (_, k) => toX(k / (POINTS - 1)));
    return state.curves.flatMap((curve, index) => {
      const first = model.domainOf(model.losses[curve.loss].arrays[0], curve.settings);
      // The ends of a domain are points.
      const within = xs.map(x => Math.min(Math.max(x, first.low), first.high));
      const own = {
        index, letter: LETTERS[index], name: curve.loss, builtin: false, xs: within,
        parts: model.compute(curve.loss, curve.settings, within),
        at: model.compute(curve.loss, curve.settings, [state.at]), x: state.at,
      };
      const beside = model.builtinOf(curve);
      if (!beside) return [own];
      const places = beside.x.map((x, k) => k).filter(k => beside.x[k] >= state.from && beside.x[k] <= state.to);
      const take = key => places.map(k => Number(beside[key][k]));
      const away = k => Math.abs(beside.x[k] - state.at);
      const nearest = places.reduce((found, k) => (found < 0 || away(k) < away(found) ? k : found), -1);
      const at = key => [nearest < 0 ? NaN : Number(beside[key][nearest])];
      return [own, {
        index, letter: `${LETTERS[index]}′`, name: beside.name, builtin: true, xs: places.map(k => beside.x[k]),
        about: `${beside.version}, ${beside.dtype}`,
        parts: { value: take("value"), gradient: take("gradient"), second: [] },
        at: { value: at("value"), gradient: at("gradient"), second: [NaN] }, x: nearest < 0 ? NaN : beside.x[nearest],
      }];
    });
  }

  /* What x is called: by the losses, if they agree. */
  function xName() {
    const name = loss => (loss.rows ? "margin of the right class" : loss.arrays[0].name);
    const names = new Set(state.curves.map(({ loss }) => name(model.losses[loss])));
    return names.size === 1 ? `x: ${[...names][0].replaceAll("_", " ")}` : "x";
  }

  const stroke = line => ({
    class: `explorer-color-${line.index}`, fill: "none", stroke: "currentColor", "stroke-width": line.builtin ? 1.2 : 2.2,
    "stroke-dasharray": line.builtin ? "" : DASHES[line.index],
  });

  function sample(index, builtin = false) {
    const line = draw("line", { x1: 0, y1: 6, x2: 34, y2: 6, ...stroke({ index, builtin }) });
    const mark = builtin ? draw("circle", { cx: 17, cy: 6, r: 3, class: `explorer-color-${index}`, fill: "currentColor" }) : null;
    return draw("svg", { width: 34, height: 12, "aria-hidden": "true", class: "explorer-sample" }, line, mark);
  }

  const pictures = PARTS.map(part => {
    const heading = make("h2", { id: `explorer-${part.key}-title` });
    const svg = draw("svg", { role: "img", "aria-labelledby": heading.id, "aria-describedby": "explorer-caption" });
    const drag = event => {
      const { left, width } = svg.getBoundingClientRect();
      const { inner, start } = part.frame;
      const share = ((event.clientX - left) / width * svg.viewBox.baseVal.width - start) / inner;
      moveTo(toX(Math.min(Math.max(share, 0), 1)));
    };
    svg.addEventListener("pointerdown", event => {
      svg.setPointerCapture(event.pointerId);
      drag(event);
    });
    svg.addEventListener("pointermove", event => event.buttons && drag(event));
    part.heading = heading;
    part.svg = svg;
    return make("section", { class: "explorer-picture" }, heading, svg);
  });

  /* What stands beside a line: its name, where there is room. */
  const labelOf = (line, width) => (width > 640 ? `${line.letter} ${line.name}` : line.letter);

  function frameOf(part, drawn, width) {
    const log = state.up === "log";
    const finite = drawn.flatMap(line => Array.from(line.parts[part.key])).filter(Number.isFinite);
    const all = log ? finite.map(Math.abs) : finite;
    const zero = log && all.some(y => y === 0);
    const height = 250, top = 10, bottom = 42, strip = zero ? 24 : 0;
    const longest = Math.max(0, ...drawn.map(line => labelOf(line, width).length));
    const labels = 20 + Math.min(250, 7.4 * longest);
    const start = 62, inner = Math.max(80, width - start - labels), tall = height - top - bottom - strip;
    let [low, high] = [Math.min(...all), Math.max(...all)];
    if (log) {
      const positive = all.filter(y => y > 0);
      high = positive.length ? Math.max(...positive) : 1;
      low = positive.length ? Math.max(Math.min(...positive), high / 10 ** DECADES) : 0.1;
      if (low === high) [low, high] = [low / 10, high * 10];
      const room = (high / low) ** 0.04;
      [low, high] = [low / room, high * room];
    } else {
      if (!all.length) [low, high] = [0, 1];
      const room = low === high ? Math.max(1, Math.abs(low)) : (high - low) * 0.05;
      [low, high] = [low - room, high + room];
    }
    const y = value => {
      if (!log) return top + (tall * (high - value)) / (high - low);
      const size = Math.abs(value);
      if (size === 0) return top + tall + strip - 8;
      const share = (Math.log(high) - Math.log(size)) / (Math.log(high) - Math.log(low));
      return top + tall * Math.min(share, 1);
    };
    const x = value => start + inner * toShare(value);
    const ticks = log ? decades(low, high, 6) : steps(low, high, 5);
    return { log, zero, width, height, top, bottom, strip, start, inner, tall, low, high, x, y, ticks };
  }

  function path(line, part, frame) {
    const points = [];
    let open = false;
    line.parts[part.key].forEach((value, k) => {
      if (!Number.isFinite(value)) {
        open = false;
        return;
      }
      points.push(`${open ? "L" : "M"}${frame.x(line.xs[k]).toFixed(2)} ${frame.y(value).toFixed(2)}`);
      open = true;
    });
    return points.join("");
  }

  /* Where labels stand beside the ends of the lines: as near as they can, and never on each other. */
  function spread(wanted, low, high, apart) {
    const order = wanted.map((_, k) => k).sort((i, j) => wanted[i] - wanted[j]);
    const found = [];
    order.forEach((k, place) => (found[k] = Math.max(wanted[k], place ? found[order[place - 1]] + apart : low)));
    for (let place = order.length - 1, limit = high; place >= 0; place--, limit = found[order[place + 1]] - apart) {
      found[order[place]] = Math.min(found[order[place]], limit);
    }
    return found;
  }

  function show() {
    const drawn = lines();
    const width = Math.max(260, Math.round(pictures[0].clientWidth || 600));
    PARTS.forEach(part => showPicture(part, drawn, width));
    showNumbers(drawn);
    cursor.put(state.at, toShare(state.at));
    link.href = `#${model.write(state)}`;
    const mismatched = state.curves.filter(curve => curve.beside && !model.isAsMeasured(curve)).map(curve => {
      const { name, settings } = model.builtinOf(curve);
      const measured = Object.entries(settings).map(([key, value]) => `${key} ${value ?? "none"}`);
      return `The points of ${name} are those of ${measured.join(", ")}.`;
    });
    const words = [...wrong.map(one => `Left out: ${one}.`), ...mismatched].join(" ");
    if (notice.textContent !== words) notice.textContent = words;
  }

  function showPicture(part, drawn, width) {
    const frame = frameOf(part, drawn, width);
    part.frame = frame;
    const { start, inner, top, tall, strip, height } = frame;
    const end = top + tall + strip;
    part.heading.textContent = frame.log ? `${part.title}, without its sign` : part.title;
    part.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const grid = draw("g", { class: "explorer-grid" });
    const texts = draw("g", { class: "explorer-text" });
    for (const tick of frame.ticks) {
      grid.append(draw("line", { x1: start, x2: start + inner, y1: frame.y(tick), y2: frame.y(tick) }));
      texts.append(draw("text", { x: start - 6, y: frame.y(tick) + 4, "text-anchor": "end" }, short(tick, 4)));
    }
    if (frame.zero) {
      const y = top + tall + 6;
      grid.append(draw("line", { class: "explorer-break", x1: start, x2: start + inner, y1: y, y2: y }));
      texts.append(draw("text", { x: start - 6, y: frame.y(0) + 4, "text-anchor": "end" }, "exactly 0"));
    }
    const count = Math.max(4, Math.floor(inner / 60));
    const scale = state.across === "log" ? decades : steps;
    for (const tick of scale(state.from, state.to, count)) {
      const x = frame.x(tick);
      grid.append(draw("line", { x1: x, x2: x, y1: top, y2: end }));
      texts.append(draw("text", { x, y: end + 16, "text-anchor": "middle" }, short(tick, 4)));
    }
    const title = `${xName()}${state.across === "log" ? ", logarithmic" : ""}`;
    texts.append(draw("text", { x: start + inner / 2, y: height - 6, "text-anchor": "middle" }, title));
    grid.append(draw("rect", { x: start, y: top, width: inner, height: end - top, fill: "none" }));
    const curves = draw("g");
    const marks = draw("g");
    const ended = [];
    for (const line of drawn) {
      const color = `explorer-color-${line.index}`;
      const values = Array.from(line.parts[part.key]);
      const point = k =>
        draw("circle", { cx: frame.x(line.xs[k]), cy: frame.y(values[k]), r: 2.2, class: color, fill: "currentColor" });
      const last = values.findLastIndex(Number.isFinite);
      if (last < 0) continue;
      curves.append(draw("path", { d: path(line, part, frame), "data-line": line.letter, ...stroke(line) }));
      if (line.builtin) curves.append(...values.flatMap((value, k) => (Number.isFinite(value) ? [point(k)] : [])));
      const value = line.at[part.key][0];
      if (Number.isFinite(value)) {
        const ring = { class: `${color} explorer-mark`, "stroke-width": 2 };
        marks.append(draw("circle", { cx: frame.x(line.x), cy: frame.y(value), r: 5, ...ring }));
      }
      ended.push({ line, color, x: frame.x(line.xs[last]), y: frame.y(values[last]) });
    }
    const heights = spread(ended.map(one => one.y), top + 5, end - 3, 15);
    ended.forEach(({ line, color, x, y }, k) => {
      const leader = `M${x + 2} ${y}L${start + inner + 4} ${y}L${start + inner + 12} ${heights[k]}`;
      const label = { x: start + inner + 14, y: heights[k] + 4, class: `${color} explorer-label`, fill: "currentColor" };
      texts.append(draw("path", { d: leader, class: `${color} explorer-leader`, fill: "none", stroke: "currentColor" }));
      texts.append(draw("text", label, labelOf(line, width)));
    });
    const x = frame.x(state.at);
    const cursorLine = draw("line", { class: "explorer-cursor", x1: x, x2: x, y1: top, y2: end });
    part.svg.replaceChildren(grid, cursorLine, curves, marks, texts);
  }

  // ------------------------------------------------------------------------------------------- the numbers at the cursor

  const body = make("tbody");
  const caption = make("caption", { id: "explorer-caption" });
  const heads = ["Loss", ...PARTS.map(part => part.title)].map(title => make("th", { scope: "col" }, title));
  const table = make("table", { class: "explorer-table" }, caption, make("thead", {}, make("tr", {}, heads)), body);

  function showNumbers(drawn) {
    caption.textContent = `At x = ${short(state.at)}`;
    body.replaceChildren(...drawn.map(line => {
      const name = make("th", { scope: "row" }, sample(line.index, line.builtin), ` ${line.letter} `, make("code", {}, line.name),
        line.builtin ? ` ${line.about}${Number.isNaN(line.x) ? "" : `, at ${short(line.x)}`}` : null);
      const cells = PARTS.map(part => {
        const value = line.at[part.key][0];
        const shown = line.builtin && part.key === "second" ? "not measured" : short(value, place.clientWidth > 500 ? 6 : 4);
        return make("td", {}, make("data", { value: String(value), "data-part": part.key }, shown));
      });
      return make("tr", { "data-line": line.letter, "data-name": line.name }, name, cells);
    }));
  }

  const spoken = () => {
    const numbers = row => PARTS.map((part, k) => `${part.noun} ${row.cells[k + 1].textContent}`).join(", ");
    const words = Array.from(body.rows, row => `${row.dataset.name} ${numbers(row)}`);
    return `At x = ${short(state.at)}: ${words.join("; ")}`;
  };

  const cursor = (() => {
    const range = make("input", { type: "range", id: "explorer-cursor", min: 0, max: 1000, step: 1, "aria-valuetext": "" });
    const box = make("input", { type: "number", step: "any", "aria-label": "Cursor, x exactly", id: "explorer-at" });
    range.addEventListener("input", () => moveTo(toX(Number(range.value) / 1000)));
    box.addEventListener("input", () => {
      const x = box.value.trim() === "" ? NaN : Number(box.value);
      const fits = x >= state.from && x <= state.to;
      box.setAttribute("aria-invalid", String(!fits));
      if (fits) moveTo(x, false);
    });
    const put = (x, share) => {
      if (document.activeElement !== range) range.value = Math.round(1000 * share);
      if (document.activeElement !== box) {
        box.value = x;
        box.removeAttribute("aria-invalid");
      }
      range.setAttribute("aria-valuetext", `x ${short(x)}`);
    };
    return { row: make("div", { class: "explorer-number" }, make("label", { for: range.id }, "Cursor, x"), range, box), put };
  })();

  /* A cursor that is dragged stops at numbers that can be read. */
  function moveTo(x, round = true) {
    const step = 10 ** Math.floor(Math.log10(state.across === "log" ? x : state.to - state.from) - 2);
    const rounded = round ? Number((Math.round(x / step) * step).toPrecision(12)) : x;
    state.at = Math.min(Math.max(rounded, state.from), state.to);
    changed();
  }

  // -------------------------------------------------------------------------------------------------------------- page

  place.replaceChildren(
    make("p", {}, "Examples: ", PRESETS.flatMap(([title, href], k) => [k ? " · " : null, make("a", { href }, title)])),
    notice,
    make("div", { class: "explorer-columns" },
      make("form", { class: "explorer-controls", "aria-label": "What is drawn", onsubmit: event => event.preventDefault() },
        chosen,
        make("div", { class: "explorer-add" }, make("label", { for: add.id }, "Another loss"), add, addButton),
        make("fieldset", {}, make("legend", {}, "Axes"),
          make("div", { class: "explorer-pair" }, axisNumber("from", "x from"), axisNumber("to", "to")),
          axisScale("across", "x logarithmic"), axisScale("up", "y logarithmic")),
        make("p", {}, link)),
      make("div", { class: "explorer-results" }, cursor.row, table, status, pictures)));

  window.addEventListener("hashchange", () => {
    if (decodeURIComponent(location.hash.slice(1)) !== decodeURIComponent(model.write(state))) load(location.hash.slice(1));
  });
  let shown = 0;
  new ResizeObserver(() => {
    const width = pictures[0].clientWidth;
    if (width !== shown) {
      shown = width;
      show();
    }
  }).observe(pictures[0]);
  showControls();
  show();
  say(spoken());
})();
