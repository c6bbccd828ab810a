// The transcript: each question, and beside or below it one answer for each model that was asked.

import { $, element, seconds } from "./format.js";

export class TurnView {
  constructor(number, question, sides) {
    this.number = number;
    this.answers = sides.map((side) => new AnswerView(number, side));
    const answers = element("div", { className: sides.length > 1 ? "answers two" : "answers" });
    answers.append(...this.answers.map((answer) => answer.root));
    this.root = element("li", { className: "turn-item" }, [
      element("p", { className: "asked", text: question, "aria-label": `Question ${number}: ${question}` }),
      answers,
    ]);
    $("turns").append(this.root);
    this.scroll();
  }

  scroll() {
    this.root.scrollIntoView({ block: "end" });
  }
}

class AnswerView {
  constructor(number, side) {
    this.full = side.full;
    this.text = element("p", { className: "text" });
    this.below = element("div");
    this.root = element("div", { className: side.full ? "answer full" : "answer" }, [
      element("p", { className: "who", text: `Turn ${number} · ${side.name}` }),
      this.text,
      this.below,
    ]);
  }

  wait() {
    this.root.classList.add("waiting");
    this.below.replaceChildren();
  }

  grow(text) {
    this.text.textContent = text;
  }

  done(answer) {
    this.root.classList.remove("waiting");
    this.grow(answer.text);
    this.below.className = "facts";
    this.below.replaceChildren(...this.#facts(answer));
  }

  wrong(words, again) {
    this.root.classList.remove("waiting");
    const button = element("button", { type: "button", text: "Try again" });
    button.addEventListener("click", again);
    this.below.className = "wrong";
    this.below.replaceChildren(element("span", { text: words, role: "alert" }), button);
  }

  #facts(answer) {
    const facts = [element("span", { text: `first token ${seconds(answer.ttft)}` })];
    if (answer.reused !== undefined) {
      const text = answer.reused ? "picture reused" : "picture encoded";
      facts.push(element("span", { className: answer.reused ? "reused" : "", text }));
    }
    if (answer.cached) {
      facts.push(element("span", { text: `${answer.cached} of ${answer.prompt} prompt tokens from cache` }));
    }
    // A server may let a share of its dialogues keep everything, to measure what it saves.
    if (answer.original && answer.kept === answer.original && !this.full) {
      facts.push(element("span", { text: `kept all ${answer.original} visual tokens` }));
    }
    return facts;
  }
}
