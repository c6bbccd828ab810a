// Puts the parts together: which picture, which budget, who is asked, and what is shown of it.

import { ServerError, look, models, samples, useKey } from "./api.js";
import { FULL, budgetsOf, offerBudgets } from "./budgets.js";
import { Dialogue } from "./dialogue.js";
import { $, element } from "./format.js";
import { Inspector } from "./inspector.js";
import { Look } from "./look.js";
import { offerSamples, show, takePictures } from "./picture.js";
import { showTiles, showTiming } from "./savings.js";
import { TurnView } from "./turns.js";

const state = {
  card: undefined, // the model's, with its compressor
  budgets: [],
  detail: "auto",
  picture: undefined, // a data URL
  questions: [], // worth trying on it
  looks: new Map(), // by budget
  dialogues: new Map(), // by side: "kept", "full"
  turns: [], // each a list of answers
  running: undefined, // AbortController of the turn that runs
};
const inspector = new Inspector();

async function start() {
  takePictures(takePicture, complain);
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey($("key").value);
    meetServer();
  });
  $("key-button").addEventListener("click", () => askForKey($("key-form").hidden));
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.running) state.running.abort();
    else ask($("question").value.trim());
  });
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!state.running) $("ask").requestSubmit();
    }
  });
  $("question").addEventListener("input", fitQuestion);
  $("new").addEventListener("click", newDialogue);
  $("compare").addEventListener("change", newDialogue);
  addEventListener("pagehide", endDialogues);
  await meetServer();
}

async function meetServer() {
  try {
    [state.card] = await models();
    offerSamples(await samples(), takePicture, report);
  } catch (error) {
    report(error);
    return;
  }
  complain("");
  askForKey(false);
  const compressor = state.card.metacompress;
  state.budgets = budgetsOf(state.card);
  $("model").textContent = compressor
    ? `${state.card.id} · compressor ${compressor.digest}`
    : `${state.card.id} · no compressor: all visual tokens are kept`;
  $("compare-box").hidden = !compressor?.serves_uncompressed;
  offerBudgets(state.budgets, state.detail, changeBudget);
  if (state.picture) lookAgain();
  refresh();
}

async function takePicture(url, questions) {
  complain("");
  if (!(await show(url))) {
    complain("This picture cannot be read: it is broken, or not a picture.");
    return;
  }
  state.picture = url;
  state.questions = questions;
  state.looks.clear();
  $("empty").hidden = true;
  $("inspector").hidden = false;
  newDialogue();
  lookAgain();
}

// The choice holds from the next turn on; the dialogue goes on.
function changeBudget(detail) {
  state.detail = detail;
  lookAgain();
  refresh();
}

async function lookAgain() {
  const { picture, detail, card } = state;
  if (!card) return inspector.set(undefined, "");
  if (!card.metacompress) return inspector.set(undefined, "This server runs without a compressor.");
  if (detail === FULL) return inspector.set(undefined, "All visual tokens are kept: nothing is compressed.");
  if (state.looks.has(detail)) return inspector.set(state.looks.get(detail));
  inspector.set(undefined, "Asking the model where the kept tokens look …");
  try {
    const found = new Look(await look(picture, detail));
    if (picture !== state.picture) return undefined;
    state.looks.set(detail, found);
    if (detail === state.detail) inspector.set(found);
  } catch (error) {
    inspector.set(undefined, "");
    report(error);
  }
  return undefined;
}

async function ask(question) {
  if (!question || !state.picture || !state.card) return;
  complain("");
  $("question").value = "";
  fitQuestion();
  const sides = sidesToAsk();
  const turn = new TurnView(state.turns.length + 1, question, sides);
  const answers = [];
  state.turns.push(answers);
  await askSides({ question, sides, turn, answers }, 0);
}

// One after the other: two at the same time would be timed against each other.
async function askSides(asked, first) {
  const running = new AbortController();
  state.running = running;
  refresh();
  for (let index = first; index < asked.sides.length; index += 1) {
    if (!(await askOne(asked, index, running.signal))) break;
  }
  if (state.running === running) state.running = undefined;
  refresh();
  keepFocus();
}

// A question that was clicked is gone. Where a finger types, the keyboard would cover the answer.
function keepFocus() {
  const lost = document.activeElement === document.body;
  if (lost && matchMedia("(pointer: fine)").matches) $("question").focus({ preventScroll: true });
}

async function askOne(asked, index, signal) {
  const side = asked.sides[index];
  const view = asked.turn.answers[index];
  view.wait();
  try {
    const answer = await side.dialogue.ask(asked.question, side.detail, signal, (text) => {
      view.grow(text);
      asked.turn.scroll();
    });
    asked.answers.push({ ...answer, full: answer.kept === answer.original, beside: side.beside });
    view.done(answer);
    $("status").textContent = `${side.name}: ${answer.text}`;
  } catch (error) {
    giveUp(error, view, () => askSides(asked, index));
    return false;
  } finally {
    refresh();
    asked.turn.scroll();
  }
  return true;
}

function giveUp(error, view, again) {
  const stopped = error.name === "AbortError";
  if (!stopped && !(error instanceof ServerError)) throw error;
  if (error.status === 401) askForKey(true);
  view.wrong(stopped ? "Stopped." : error.message, again);
}

// Who is asked: the chosen budget, and beside it the model with all tokens where that is wanted.
function sidesToAsk() {
  const budget = state.budgets.find(({ detail }) => detail === state.detail);
  const compare = $("compare").checked && state.detail !== FULL;
  const all = state.card.metacompress?.image_tokens_original;
  const kept = {
    name: budget ? `${budget.tokens} of ${all} visual tokens` : state.card.id,
    detail: budget ? state.detail : "auto",
    full: !budget || state.detail === FULL,
    beside: false,
    dialogue: dialogueOf("kept"),
  };
  if (!compare) return [kept];
  const name = `All ${all} visual tokens`;
  return [kept, { name, detail: FULL, full: true, beside: true, dialogue: dialogueOf("full") }];
}

function dialogueOf(side) {
  if (!state.dialogues.has(side)) state.dialogues.set(side, new Dialogue(state.card.id, state.picture));
  return state.dialogues.get(side);
}

function newDialogue() {
  state.running?.abort();
  endDialogues();
  state.turns = [];
  $("turns").replaceChildren();
  refresh();
}

function endDialogues() {
  for (const dialogue of state.dialogues.values()) dialogue.end();
  state.dialogues.clear();
}

function refresh() {
  const answers = state.turns.flat().filter((answer) => !answer.beside);
  const last = answers.at(-1);
  const compressor = state.card?.metacompress;
  const chosen = state.budgets.find(({ detail }) => detail === state.detail);
  const kept = chosen?.tokens ?? last?.kept;
  $("saved").hidden = !state.picture || kept === undefined;
  if (kept !== undefined) {
    showTiles({
      kept,
      original: compressor?.image_tokens_original ?? last.original,
      bytesPerToken: compressor?.kv_bytes_per_token,
      answers,
    });
  }
  showTiming(state.turns);
  $("hint").hidden = state.turns.length > 0;
  $("new").disabled = !state.turns.length;
  $("send").disabled = !state.picture || !state.card;
  $("send").textContent = state.running ? "Stop" : "Send";
  offerIdeas();
}

function offerIdeas() {
  const left = state.running ? [] : state.questions.slice(state.turns.length, state.turns.length + 1);
  $("ideas").replaceChildren(...left.map((question) => {
    const button = element("button", { type: "button", text: question });
    button.addEventListener("click", () => ask(question));
    return element("li", {}, [button]);
  }));
}

function fitQuestion() {
  const field = $("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function report(error) {
  if (!(error instanceof ServerError)) throw error;
  if (error.status === 401) askForKey(true);
  complain(error.message);
}

function complain(words) {
  $("alert").hidden = !words;
  $("alert").textContent = words;
}

function askForKey(wanted) {
  $("key-form").hidden = !wanted;
  $("key-button").hidden = !wanted && !$("key").value;
  $("key-button").setAttribute("aria-expanded", String(wanted));
  if (wanted) $("key").focus();
}

start();
