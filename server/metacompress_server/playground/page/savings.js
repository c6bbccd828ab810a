// What is saved: tokens, bytes of keys and values, and the time to the first token turn by turn.

import { $, bytes, element, percent, seconds } from "./format.js";

// `kept` and `original` are tokens of the picture; `bytesPerToken` is the server's figure.
export function showTiles({ kept, original, bytesPerToken, answers }) {
  const reused = answers.filter((answer) => answer.reused).length;
  const known = answers.filter((answer) => answer.reused !== undefined).length;
  const share = kept / original;
  $("tiles").replaceChildren(
    tile("Visual tokens", `${kept}`, `of ${original} (${percent(share)})`, share),
    tile(
      "Visual KV in every turn",
      bytesPerToken ? bytes(kept * bytesPerToken) : "–",
      bytesPerToken ? `of ${bytes(original * bytesPerToken)}` : "not told by this server",
      bytesPerToken ? share : undefined,
    ),
    tile(
      "Vision tower ran",
      known ? `${known - reused}×` : "–",
      known ? `in ${known} ${known === 1 ? "turn" : "turns"}; reused ${reused}×` : "ask a question to see",
      undefined,
    ),
  );
}

// `turns` is a list of turns, each a list of {ttft, reused, full}; a turn that failed is empty.
export function showTiming(turns) {
  const answers = turns.flat();
  $("timing").hidden = !answers.length;
  if (!answers.length) return;
  const slowest = Math.max(...answers.map((answer) => answer.ttft));
  $("bars").replaceChildren(...turns.map((turn, index) => element("div", { className: "turn" }, [
    element("div", { className: "columns" }, turn.map((answer) => bar(answer, slowest))),
    element("small", { text: `${index + 1}` }),
  ])));
  $("bars").setAttribute("aria-label", turns.map(
    (turn, index) => `Turn ${index + 1}: ${turn.map((answer) => `${answer.full ? "all tokens " : ""}${seconds(answer.ttft)}`).join(", ")}`,
  ).join(". "));
  $("bars").scrollLeft = $("bars").scrollWidth;
  $("bars-legend").replaceChildren(...legend(answers));
}

function tile(title, figure, rest, share) {
  const parts = [element("dt", { text: title }), element("dd", { text: figure }, [element("small", { text: rest })])];
  if (share !== undefined) {
    const fill = element("i");
    fill.style.width = `${100 * share}%`;
    parts.push(element("div", { className: "meter", "aria-hidden": "true" }, [fill]));
  }
  return element("div", {}, parts);
}

function bar({ ttft, reused, full }, slowest) {
  const kind = `${full ? "full" : ""} ${reused === false ? "encoded" : ""}`;
  const made = element("i", { className: kind }, [element("b", { text: seconds(ttft) })]);
  made.style.height = `${(100 * ttft) / slowest}%`;
  return made;
}

function legend(answers) {
  const kinds = [
    ["encoded", "picture encoded", (answer) => !answer.full && answer.reused === false],
    ["", "picture reused", (answer) => !answer.full && answer.reused !== false],
    ["full", "all tokens", (answer) => answer.full],
  ];
  return [
    ...kinds.filter(([, , here]) => answers.some(here)).map(([className, text]) => element("span", { className, text })),
    "as measured in this browser",
  ];
}
