"use strict";
// The sample browser of a report. Everything that a policy or a stranger wrote reaches the page as a text node, through
// `foreign`; nothing is ever parsed as markup. Figures of all samples are unpacked at once; texts and tokens of a file
// (a training step, or a measurement) when a sample of it is looked at or searched.
(() => {
const $ = (name) => document.getElementById(`samples-${name}`);
const head = JSON.parse($("data").textContent);
if (!head.files.length || !window.DecompressionStream) return;

// -- elements and texts -------------------------------------------------------------------------------------------

const HIDDEN = new RegExp(head.hidden, "gu");
const VERDICTS = { correct: "✓", wrong: "✗", no_answer: "∅", bad_format: "≠", truncated: "…", timeout: "!", grader_error: "!" };

/** An element of ours: attributes that are null or false are left out, strings among the children are our own words. */
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A text of others, in which what would hide or reorder is written out, and marked as not being of the text. */
function foreign(text) {
  const made = document.createDocumentFragment();
  let end = 0;
  for (const found of text.matchAll(HIDDEN)) {
    made.append(text.slice(end, found.index), el("span", { class: "hidden-character" }, writtenOut(found[0])));
    end = found.index + found[0].length;
  }
  made.append(text.slice(end));
  return made;
}

/** As Python's unicode_escape, so that the page, the terminal and the files say the same. */
function writtenOut(character) {
  const code = character.codePointAt(0);
  if (code === 13) return "\\r";
  const hex = (digits) => code.toString(16).padStart(digits, "0");
  return code < 256 ? `\\x${hex(2)}` : code < 65536 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
}

const figure = (value, digits = 3) => (value === null || value === undefined ? "–" : String(+value.toFixed(digits)).replace("-", "−"));
/** Two digits, whatever its size: what is small differs in its power of ten. */
const brief = (value) => (value === null ? "–" : String(+value.toPrecision(2)).replaceAll("-", "−"));
const count = (number, of) => `${number.toLocaleString("en")} ${of}${number === 1 ? "" : "s"}`;
const verdictText = (verdict) => `${VERDICTS[verdict] ?? "?"} ${verdict.replace("_", " ")}`;

// -- data ---------------------------------------------------------------------------------------------------------

async function unpack(name) {
  const bytes = Uint8Array.from(atob($(name).textContent), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const unpacked = new Map();
/** The texts or the tokens of a file, unpacked the first time. */
function held(kind, file) {
  const name = `${kind}-${file}`;
  if (!unpacked.has(name)) unpacked.set(name, unpack(name));
  return unpacked.get(name);
}

let samples = [];
let parts = [];
/** Characters that all ids of problems begin with, up to a colon or slash: the list leaves them out. */
let shared = 0;
const groups = new Map();
const problems = new Map();
const others = new Map();

async function load() {
  const [named, rows] = await Promise.all([
    Promise.all(head.sources.map((_, index) => unpack(`problems-${index}`))),
    Promise.all(head.files.map((_, index) => unpack(`rows-${index}`))),
  ]);
  const known = named.map((each) => new Map(each.id.map((id, place) => [id, { id, prompt: each.prompt[place], columns: each.columns[place], mode: each.mode[place] }])));
  rows.forEach((of, file) => {
    const { source, set, step } = head.files[file];
    of.reward.forEach((reward, row) => {
      const problem = known[source].get(of.problem.names[of.problem.of[row]]);
      const sample = {
        at: samples.length, file, row, source, set, step, problem, reward, number: of.sample[row] ?? row,
        verdict: of.verdict.names[of.verdict.of[row]], advantage: of.advantage[row], length: of.length[row], gap: of.gap[row], cut: of.cut[row],
        parts: Object.entries(of.parts).map(([name, values]) => ({ name, value: values[row][0], weighted: values[row][1] })).filter((part) => part.value !== null),
      };
      samples.push(sample);
      for (const [map, key] of [[groups, groupKey(sample)], [problems, problemKey(sample)], [others, otherKey(sample)]])
        map.has(key) ? map.get(key).push(sample) : map.set(key, [sample]);
    });
  });
  shared = sharedPrefix([...new Set(samples.map((sample) => sample.problem.id))]);
  parts = [...new Set(rows.flatMap((of) => Object.keys(of.parts)))];
  const hasGaps = samples.some((sample) => sample.gap !== null);
  if (!hasGaps) delete COLUMNS.gap;
  $("list").classList.toggle("gaps", hasGaps);
}

function sharedPrefix(names) {
  let length = names[0].search(/[:/][^:/]*$/) + 1;
  while (length && !names.every((name) => name.startsWith(names[0].slice(0, length)))) length = names[0].slice(0, length - 1).search(/[:/][^:/]*$/) + 1;
  return length;
}

const problemKey = (sample) => JSON.stringify([sample.source, sample.set, sample.problem.id]);
const groupKey = (sample) => JSON.stringify([sample.file, sample.problem.id]);
const otherKey = (sample) => JSON.stringify([sample.set, sample.step, sample.problem.id, sample.number]);
/** The sample that another run or evaluation has in the same place; undefined where there is none. */
const otherOf = (sample) => others.get(otherKey(sample)).find((other) => other.source !== sample.source);

// -- which samples are listed, and in which order -------------------------------------------------------------------

const COLUMNS = {
  step: { title: "step", of: (sample) => sample.step },
  problem: { title: "problem", of: (sample) => sample.problem.id, isText: true },
  number: { title: "#", name: "sample", of: (sample) => sample.number },
  verdict: { title: "verdict", of: (sample) => sample.verdict, isText: true },
  reward: { title: "reward", of: (sample) => sample.reward },
  advantage: { title: "adv.", name: "advantage", of: (sample) => sample.advantage },
  length: { title: "tokens", name: "length", of: (sample) => sample.length },
  gap: { title: "gap", name: "gap of trainer and engine", of: (sample) => sample.gap },
};
const order = { by: "step", falls: true };
const only = { group: null, problem: null };
let listed = [];
let selected = null;
let pinned = null;
let shading = "none";
let asked = 0;

const PART_TESTS = { ">": ["pays", (value) => value > 0], "=": ["comes to nothing", (value) => value === 0], "<": ["costs", (value) => value < 0] };
const FLIPS = { gained: "wrong there, right here", lost: "right there, wrong here", same: "as right as there" };

function matches(sample) {
  const is = (name, value) => !$(name).value || $(name).value === String(value);
  if (!is("source", sample.source) || !is("set", sample.set) || !is("step", sample.step) || !is("mode", sample.problem.mode)) return false;
  if (only.group && groupKey(sample) !== only.group) return false;
  if (only.problem && sample.problem.id !== only.problem) return false;
  const verdicts = checkedVerdicts();
  if (verdicts.size && !verdicts.has(sample.verdict)) return false;
  if ($("part").value) {
    const part = sample.parts.find((each) => each.name === $("part").value.slice(1));
    if (!part || part.weighted === null || !PART_TESTS[$("part").value[0]][1](part.weighted)) return false;
  }
  return !$("flip").value || flip(sample) === $("flip").value;
}

const checkedVerdicts = () => new Set([...$("verdicts").querySelectorAll("input:checked")].map((box) => box.value));

function flip(sample) {
  const other = otherOf(sample);
  if (!other) return null;
  const [here, there] = [sample.verdict === "correct", other.verdict === "correct"];
  return here === there ? "same" : here ? "gained" : "lost";
}

async function containing(found, text) {
  const files = [...new Set(found.map((sample) => sample.file))];
  const texts = new Map(await Promise.all(files.map(async (file) => [file, await held("texts", file)])));
  return found.filter((sample) => {
    const { completion, extracted } = texts.get(sample.file);
    return [completion[sample.row], extracted[sample.row], sample.problem.id, sample.problem.prompt].some((each) => each?.toLowerCase().includes(text));
  });
}

/** List anew; the sample that was looked at stays, if it is among them. */
async function list() {
  const turn = ++asked;
  let found = samples.filter(matches);
  const text = $("text").value.toLowerCase();
  if (text) found = await containing(found, text);
  if (turn !== asked) return;
  const { of, isText } = COLUMNS[order.by];
  const sign = order.falls ? -1 : 1;
  // What was not measured stands last, whichever way the others are sorted.
  const compare = (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (isText ? (a < b ? -1 : 1) : a - b));
  listed = found.toSorted((left, right) => compare(of(left), of(right)) || left.at - right.at);
  $("count").textContent = listed.length === samples.length ? `${count(samples.length, "sample")}` : `${listed.length.toLocaleString("en")} of ${count(samples.length, "sample")}`;
  $("list").setAttribute("aria-rowcount", listed.length + 1);
  chips();
  heads();
  const place = listed.indexOf(selected);
  select(listed[Math.max(place, 0)] ?? null, place >= 0);
}

function chips() {
  const chip = (text, key) => el("button", { type: "button", class: "chip", onclick: () => { only[key] = null; list(); } }, foreign(text), el("span", { "aria-hidden": "true" }, " ×"), el("span", { class: "says" }, ": remove this filter"));
  $("only").replaceChildren(...(only.group ? [chip("one group", "group")] : []), ...(only.problem ? [chip(only.problem, "problem")] : []));
}

function sortBy(key) {
  // Figures begin with the largest, texts with the first; the next click turns round.
  const falls = order.by === key ? !order.falls : !COLUMNS[key].isText && key !== "number";
  Object.assign(order, { by: key, falls });
  list();
}

// -- the list: only the rows in sight are in the page ----------------------------------------------------------------

const rowHeight = 2 * parseFloat(getComputedStyle(document.documentElement).fontSize);
const MARGIN = 8;

function heads() {
  $("heads").replaceChildren(...Object.entries(COLUMNS).map(([key, { title, name }]) => {
    const sort = order.by !== key ? "none" : order.falls ? "descending" : "ascending";
    const sign = { none: "", descending: " ↓", ascending: " ↑" }[sort];
    return el("span", { role: "columnheader", class: `of-${key}`, "aria-sort": sort },
      el("button", { type: "button", tabindex: "-1", title: `sort by ${name ?? title}`, onclick: () => sortBy(key) }, `${title}${sign}`));
  }));
}

let painted = {};
/** The rows in sight, where they are others than those in the page; and which of them is selected, which is pinned. */
function paint() {
  const place = Math.floor($("list").scrollTop / rowHeight);
  const [first, last] = [Math.max(0, place - MARGIN), Math.min(listed.length, place + Math.ceil($("list").clientHeight / rowHeight) + MARGIN)];
  if (painted.listed !== listed || painted.first !== first || painted.last !== last) {
    painted = { listed, first, last };
    paintRows(first, last);
  }
  for (const each of $("rows").children) {
    const sample = samples[each.dataset.at];
    each.classList.toggle("pinned", Boolean(sample) && sample === pinned);
    if (sample) each.setAttribute("aria-selected", String(sample === selected));
  }
  const shown = selected && document.getElementById(`samples-row-${selected.at}`);
  shown ? $("list").setAttribute("aria-activedescendant", shown.id) : $("list").removeAttribute("aria-activedescendant");
}

function paintRows(first, last) {
  $("rows").style.setProperty("padding-top", `${first * rowHeight}px`);
  $("rows").style.setProperty("padding-bottom", `${(listed.length - last) * rowHeight}px`);
  $("rows").replaceChildren(...(listed.length ? listed.slice(first, last).map((sample, index) => row(sample, first + index)) : [el("div", { role: "row", class: "none" }, el("span", { role: "gridcell" }, "No sample is like that."))]));
}

function row(sample, place) {
  const cells = {
    step: sample.step, problem: foreign(sample.problem.id.slice(shared)), number: sample.number, verdict: verdictText(sample.verdict),
    reward: figure(sample.reward), advantage: figure(sample.advantage), length: sample.length ?? "–", gap: brief(sample.gap),
  };
  return el("div", {
    role: "row", id: `samples-row-${sample.at}`, "data-at": sample.at, "aria-rowindex": place + 2, onclick: () => select(sample),
  }, ...Object.entries(cells).filter(([key]) => key in COLUMNS).map(([key, content]) => el("span", { role: "gridcell", class: `of-${key} ${key === "verdict" ? sample.verdict : ""}` }, typeof content === "object" ? content : String(content))));
}

function select(sample, isQuiet = false) {
  selected = sample;
  const place = listed.indexOf(sample);
  if (place >= 0 && !isQuiet) {
    const box = $("list");
    const room = box.clientHeight - 2 * rowHeight;
    if (place * rowHeight < box.scrollTop) box.scrollTop = place * rowHeight;
    else if (place * rowHeight > box.scrollTop + room) box.scrollTop = place * rowHeight - room;
  }
  paint();
  return show();
}

function step(by) {
  const place = listed.indexOf(selected) + by;
  if (listed.length) select(listed[Math.min(Math.max(place, 0), listed.length - 1)]);
}

// -- one sample -------------------------------------------------------------------------------------------------------

const SHADINGS = {
  none: { title: "none" },
  logprob: {
    title: "log-probability", says: "The darker, the less likely the sampler found it; underlined from 1 in 20.",
    level: (value) => [0.9, 0.5, 0.2, 0.05, 0.01].filter((bound) => Math.exp(value) < bound).length,
    reads: (value) => `log-probability ${figure(value)}, p = ${figure(Math.exp(value), 4)}`,
  },
  ratio: {
    title: "trainer against sampler", says: "Solid underline: the trainer finds it likelier; dotted: less likely.",
    level: (value) => [0.01, 0.05, 0.2, 0.5, 1].filter((bound) => Math.abs(value) > bound).length,
    side: (value) => (value > 0 ? "up" : "down"),
    reads: (value) => `log(trainer / sampler) ${figure(value)}, ratio ${figure(Math.exp(value))}`,
  },
  teacher: {
    title: "teacher against sampler", says: "Solid underline: the teacher finds it likelier; dotted: less likely.",
    level: (value) => [0.05, 0.2, 0.5, 1, 2].filter((bound) => Math.abs(value) > bound).length,
    side: (value) => (value > 0 ? "up" : "down"),
    reads: (value) => `log(teacher / sampler) ${figure(value)}, ratio ${figure(Math.exp(value))}`,
  },
};

let shown = 0;
/** The sample that is selected, and beside it the one that is pinned or that another run has in its place. */
async function show() {
  const turn = ++shown;
  if (!selected) return $("detail").replaceChildren();
  const isPinned = pinned && pinned !== selected;
  const other = isPinned ? null : otherOf(selected);
  const pair = isPinned ? [pinned, selected] : [selected, other].filter(Boolean).toSorted((a, b) => a.source - b.source);
  const panels = await Promise.all(pair.map(panel));
  if (turn !== shown) return;
  $("detail").replaceChildren(bar(), el("div", { class: panels.length > 1 ? "two" : "one" }, ...panels), group(), overSteps());
}

function bar() {
  const offered = ["none", ...new Set(head.files.flatMap((file) => file.signals))];
  const choice = el("select", { onchange: (event) => { shading = event.target.value; show(); } }, ...offered.map((key) => el("option", { value: key, selected: key === shading }, SHADINGS[key].title)));
  const press = (text, act) => el("button", { type: "button", onclick: act }, text);
  return el("div", { class: "bar no-print" },
    ...(offered.length > 1 ? [el("label", {}, "Shade tokens by ", choice)] : []),
    press(pinned ? "Unpin" : "Pin", pin), press("This group", () => keep("group")), press("This problem", () => keep("problem")));
}

async function panel(sample) {
  const texts = await held("texts", sample.file);
  const at = sample.row;
  const tokens = head.files[sample.file].signals.includes(shading) ? await held("tokens", sample.file) : null;
  const where = `${sample.set}, step ${sample.step}, sample ${sample.number}`;
  const { label } = head.sources[sample.source];
  const rule = texts.rule.names[texts.rule.of[at]];
  const [start] = texts.mark[at];
  const answer = texts.extracted[at];
  return el("article", { class: "sample", "data-at": sample.at },
    el("h3", {}, foreign(sample.problem.id)),
    el("p", { class: "where" }, ...(head.sources.length > 1 ? [el("strong", {}, foreign(label)), ", "] : []), where, ...(sample.problem.mode ? [", mode ", foreign(sample.problem.mode)] : []), ...(sample === pinned ? [", pinned"] : [])),
    el("p", { class: "decided" }, el("span", { class: `badge ${sample.verdict}` }, verdictText(sample.verdict)), ...(texts.detail[at] ? [" ", foreign(texts.detail[at])] : [])),
    el("p", { class: "judged" }, ...(answer === null ? ["No answer was extracted."] : ["Judged: ", el("mark", { class: "text" }, foreign(answer)), rule ? `, found ${rule}` : "", start < 0 ? "; rewritten before it was judged, so not marked below" : "", "."])),
    sum(sample),
    ...(sample.problem.prompt === null ? [] : [el("h4", {}, "Question"), el("pre", { class: "question", tabindex: "0", "aria-label": "Question" }, foreign(sample.problem.prompt)), ...(sample.problem.columns ? [el("p", { class: "note columns" }, foreign(sample.problem.columns))] : [])]),
    el("h4", {}, "Completion"),
    ...completion(texts.completion[at], texts.mark[at], tokens && { lengths: tokens.lengths[at], values: tokens.signals[shading][at] }),
    ...search(texts.moves[at], texts.completion[at]),
    el("p", { class: "note" }, foreign(texts.made.names[texts.made.of[at]]), texts.seed[at] ? `, seed ${texts.seed[at]}` : "", "."));
}

/** The completion, its judged answer marked, each token shaded where its value is known. */
function completion(text, [start, end], tokens) {
  const known = tokens?.lengths.length === tokens?.values.length ? tokens : null;
  const says = el("p", { class: "note readout", role: "status" }, known?.lengths.length ? SHADINGS[shading].says : tokens ? "The tokens of this one are not known." : "");
  const spans = [];
  const pieces = (from, to) => {
    if (!known?.lengths.length) return [foreign(text.slice(from, to))];
    const made = [];
    let place = 0;
    known.lengths.forEach((length, index) => {
      const [first, last] = [Math.max(place, from), Math.min(place + length, to)];
      if (first < last) made.push(token(text.slice(first, last), index));
      place += length;
    });
    return made;
  };
  const token = (piece, index) => {
    const value = known.values[index] === null ? null : known.values[index] / 1000;
    const { level, side } = SHADINGS[shading];
    const span = el("span", { class: value === null ? "token" : `token level-${level(value)} ${side ? side(value) : ""}` }, foreign(piece));
    spans.push(Object.assign(span, { reads: () => says.replaceChildren(`Token ${index + 1} of ${known.values.length}, `, el("code", {}, foreign(JSON.stringify(piece))), `: ${value === null ? "not finite" : SHADINGS[shading].reads(value)}`) }));
    return span;
  };
  const body = start < 0 ? pieces(0, text.length) : [...pieces(0, start), el("mark", { class: "answer" }, ...pieces(start, end)), ...pieces(end, text.length)];
  let at = -1;
  const look = (place) => {
    spans[at]?.classList.remove("looked-at");
    at = Math.min(Math.max(place, 0), spans.length - 1);
    spans[at]?.classList.add("looked-at");
    spans[at]?.reads();
  };
  const arrow = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && spans.length) { look(at + by); event.preventDefault(); }
  };
  const point = (event) => { const place = spans.indexOf(event.target.closest(".token")); if (place >= 0) look(place); };
  const box = el("pre", { class: "completion", tabindex: "0", "aria-label": "Completion", onkeydown: arrow, onpointerover: point }, ...body);
  return [box, ...(tokens ? [says] : [])];
}

function sum(sample) {
  const weights = head.sources[sample.source].weights;
  const weight = (name) => (weights[sample.problem.mode] ?? weights[""])?.[name] ?? null;
  const total = sample.parts.reduce((all, part) => all + (part.weighted ?? 0), 0);
  const isSum = sample.reward !== null && Math.abs(total - sample.reward) < 1e-4;
  const line = (part) => {
    const isChanged = weight(part.name) !== null && part.weighted !== null && Math.abs(part.value * weight(part.name) - part.weighted) > 1e-4;
    return el("tr", {}, el("th", { scope: "row" }, foreign(part.name)), el("td", {}, figure(part.value)), el("td", {}, weight(part.name) === null ? "" : `× ${figure(weight(part.name))}`), el("td", {}, figure(part.weighted)), el("td", { class: "why" }, isChanged ? "by its gate or clip" : ""));
  };
  const last = sample.reward === null ? "none: it counts nowhere" : figure(sample.reward);
  return el("table", { class: "sum" },
    el("caption", { class: "says" }, "Reward, part by part"),
    el("thead", {}, el("tr", {}, ...["part", "value", "weight", "comes to"].map((title) => el("th", { scope: "col" }, title)), el("td", {}))),
    el("tbody", {}, ...sample.parts.map(line)),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "reward"), el("td", {}), el("td", {}), el("td", {}, last), el("td", { class: "why" }, sample.reward === null || isSum || !sample.parts.length ? "" : "not the plain sum")),
      ...(sample.advantage === null ? [] : [el("tr", {}, el("th", { scope: "row" }, "advantage"), el("td", {}), el("td", {}), el("td", {}, figure(sample.advantage)), el("td", {}))])));
}

/** The search as a tree: each move below the one that opened its branch. */
function search(moves, text) {
  if (!moves.length) return [];
  const root = el("ol", { class: "tree" });
  const open = [{ depth: -1, list: root }];
  let numFalse = 0;
  for (const [start, end, depth, leaves, fault, check, isTrue] of moves) {
    while (open.at(-1).depth >= depth) open.pop();
    const judged = check ? [" ", el("span", { class: isTrue ? "check true" : "check false" }, `${isTrue ? "✓ true" : "✗ false"} ${check}`)] : [];
    if (check && !isTrue) numFalse += 1;
    const item = el("li", {}, el("code", {}, foreign(text.slice(start, end).replace(/\s+/g, " ").trim())), el("span", { class: "leaves" }, leaves ? ` → ${leaves}` : ""), ...judged, ...(fault ? [" ", el("span", { class: "fault" }, `! ${fault}`)] : []));
    open.at(-1).list.append(item);
    open.push({ depth, get list() { return item.querySelector(":scope > ol") ?? item.appendChild(el("ol")); } });
  }
  const checks = moves.filter((move) => move[5]).length;
  return [el("h4", {}, "Search, replayed"), el("p", { class: "note" }, `${count(moves.length, "move")}, ${count(checks, "check")}, ${numFalse} of them false. Beside each: what it leaves.`), root];
}

function group() {
  const all = groups.get(groupKey(selected));
  const right = all.filter((sample) => sample.verdict === "correct").length;
  return el("div", { class: "group" }, el("h4", {}, `Its group: ${right} of ${all.length} right`),
    el("ul", {}, ...all.map((sample) => el("li", {}, el("button", { type: "button", class: `${sample.verdict}`, "aria-current": sample === selected ? "true" : null, "aria-label": `sample ${sample.number}, ${sample.verdict}, reward ${figure(sample.reward)}`, onclick: () => jump(sample) }, `${VERDICTS[sample.verdict] ?? "?"} ${figure(sample.reward, 2)}`)))));
}

function overSteps() {
  const steps = Map.groupBy(problems.get(problemKey(selected)), (sample) => sample.step);
  if (steps.size < 2) return "";
  const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
  const known = (all, key) => all.map((sample) => sample[key]).filter((value) => value !== null);
  const lines = [...steps].map(([at, all]) => {
    const right = all.filter((sample) => sample.verdict === "correct").length;
    return el("tr", {}, el("th", { scope: "row" }, el("button", { type: "button", "aria-current": at === selected.step ? "true" : null, onclick: () => jump(all.find((sample) => sample.number === selected.number) ?? all[0]) }, `step ${at}`)),
      el("td", {}, `${right} of ${all.length}`), el("td", {}, el("meter", { min: 0, max: all.length, value: right, "aria-label": `${right} of ${all.length} right` })), el("td", {}, figure(mean(known(all, "reward")))), el("td", {}, figure(mean(known(all, "length")), 1)));
  });
  return el("div", { class: "over-steps" }, el("h4", {}, "The same problem over the steps"),
    el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "The same problem over the steps" },
      el("table", { class: "numbers" }, el("thead", {}, el("tr", {}, ...["step", "right", "share", "mean reward", "mean tokens"].map((title) => el("th", { scope: "col" }, title)))), el("tbody", {}, ...lines))));
}

// -- what a reader does ------------------------------------------------------------------------------------------------

/** Look at a sample, whether or not the list has it. */
function jump(sample) {
  if (listed.includes(sample)) return select(sample);
  Object.assign(only, { group: null, problem: only.problem && sample.problem.id });
  for (const name of ["text", "source", "set", "step", "mode", "part", "flip"]) $(name).value = "";
  for (const box of $("verdicts").querySelectorAll("input:checked")) box.checked = false;
  selected = sample;
  return list().then(() => select(sample));
}

function pin() { pinned = pinned ? null : selected; paint(); show(); }

function keep(what) {
  if (!selected) return;
  Object.assign(only, { group: null, problem: null }, what === "group" ? { group: groupKey(selected) } : { problem: selected.problem.id });
  list();
}

function clear() {
  $("filters").reset();
  Object.assign(only, { group: null, problem: null });
  list();
}

function shade() {
  const offered = ["none", ...new Set(head.files.flatMap((file) => file.signals))];
  shading = offered[(offered.indexOf(shading) + 1) % offered.length];
  show();
}

function along(by) {
  if (!selected) return;
  const all = problems.get(problemKey(selected));
  const steps = [...new Set(all.map((sample) => sample.step))];
  const to = steps[steps.indexOf(selected.step) + by];
  if (to !== undefined) jump(all.find((sample) => sample.step === to && sample.number === selected.number) ?? all.find((sample) => sample.step === to));
}

const page = () => Math.max(1, Math.floor($("list").clientHeight / rowHeight) - 2);
const KEYS = {
  j: () => step(1), k: () => step(-1), g: () => keep("group"), o: () => keep("problem"), a: clear, s: shade, p: pin, "[": () => along(-1), "]": () => along(1),
  "/": () => $("text").focus(), "?": () => $("help").showModal(),
};
const LIST_KEYS = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(page()), PageUp: () => step(-page()),
  Home: () => step(-listed.length), End: () => step(listed.length), Enter: () => $("detail").focus(),
};

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const { target } = event;
  const isHere = target === document.body || $("browser").contains(target);
  const isTyped = target.matches("input[type=search], select");
  if (!isHere) return;
  if (event.key === "Escape" || (isTyped && event.key === "Enter" && target.id === "samples-text")) $("list").focus();
  else if (target === $("list") && LIST_KEYS[event.key]) LIST_KEYS[event.key]();
  else if (!isTyped && KEYS[event.key]) {
    KEYS[event.key]();
    if (target === document.body) $("list").focus();
    if (event.key === "/") $("text").focus();
  } else return;
  event.preventDefault();
}

/** `#samples&verdict=timeout&step=8`: other places of the page, and people, point at samples. */
function follow() {
  if (!location.hash.startsWith("#samples&")) return;
  const wanted = new URLSearchParams(location.hash.slice("#samples&".length));
  $("filters").reset();
  Object.assign(only, { group: null, problem: wanted.get("problem") });
  for (const name of ["text", "source", "set", "step", "mode", "part", "flip"]) $(name).value = wanted.get(name) ?? "";
  for (const box of $("verdicts").querySelectorAll("input")) box.checked = wanted.getAll("verdict").includes(box.value);
  list();
  $("browser").scrollIntoView();
}

function fill(name, options) {
  $(name).replaceChildren(el("option", { value: "" }, "all"), ...options.map(([value, text]) => el("option", { value }, foreign(text))));
  $(name).parentElement.hidden = options.length < 2;
}

function fillFilters() {
  const each = (of) => [...new Set(samples.map(of))];
  fill("source", head.sources.map(({ label }, index) => [index, label]));
  fill("set", each((sample) => sample.set).map((set) => [set, set]));
  fill("step", each((sample) => sample.step).toSorted((a, b) => a - b).map((at) => [at, String(at)]));
  fill("mode", each((sample) => sample.problem.mode).filter(Boolean).map((mode) => [mode, mode]));
  fill("flip", head.sources.length > 1 ? Object.entries(FLIPS) : []);
  fill("part", parts.flatMap((name) => Object.entries(PART_TESTS).filter(([, [, test]]) => samples.some((sample) => sample.parts.some((part) => part.name === name && part.weighted !== null && test(part.weighted)))).map(([sign, [words]]) => [`${sign}${name}`, `${name} ${words}`])));
  for (const verdict of Object.keys(VERDICTS).filter((each) => samples.some((sample) => sample.verdict === each))) {
    const number = samples.filter((sample) => sample.verdict === verdict).length;
    $("verdicts").append(el("label", { class: verdict }, el("input", { type: "checkbox", name: "verdict", value: verdict }), ` ${verdictText(verdict)} `, el("span", { class: "number" }, number.toLocaleString("en"))));
  }
}

load().then(() => {
  fillFilters();
  $("filters").addEventListener("input", list);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => { Object.assign(only, { group: null, problem: null }); setTimeout(list); });
  $("ask").addEventListener("click", () => $("help").showModal());
  $("list").addEventListener("scroll", paint, { passive: true });
  document.addEventListener("keydown", press);
  addEventListener("hashchange", follow);
  $("plain").classList.add("only-print");
  $("browser").hidden = false;
  return list();
}).then(follow);
})();
