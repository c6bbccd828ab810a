// One dialogue about one picture with one model: messages, session, and the time of each turn.

import { chat, endSession } from "./api.js";

export class Dialogue {
  constructor(model, picture) {
    this.model = model;
    this.picture = picture;
    this.messages = [];
    this.sessionId = crypto.randomUUID?.() ?? randomId();
    this.begun = false;
  }

  // Answers one question; `onText` gets the answer as it grows. A turn that fails leaves no trace.
  async ask(question, detail, signal, onText) {
    const messages = [...this.messages, { role: "user", content: question }];
    const request = { model: this.model, messages: this.#withPicture(messages, detail), temperature: 0 };
    const sent = performance.now();
    let [text, usage, ttft] = ["", undefined, undefined];
    this.begun = true;
    for await (const event of chat(request, this.sessionId, signal)) {
      if (event.text) {
        ttft ??= (performance.now() - sent) / 1000;
        text += event.text;
        onText(text);
      }
      usage = event.usage ?? usage;
    }
    this.messages = [...messages, { role: "assistant", content: text }];
    return { text, ttft: ttft ?? (performance.now() - sent) / 1000, ...savings(usage) };
  }

  end() {
    if (this.begun) endSession(this.sessionId);
  }

  // The picture goes with the first question, at the budget of this turn.
  #withPicture([first, ...rest], detail) {
    const image = { type: "image_url", image_url: { url: this.picture, detail } };
    return [{ ...first, content: [image, { type: "text", text: first.content }] }, ...rest];
  }
}

function savings(usage) {
  const saved = usage?.metacompress ?? {};
  return {
    original: saved.image_tokens_original,
    kept: saved.image_tokens,
    reused: saved.images_reused === undefined ? undefined : saved.images_reused > 0,
    prompt: usage?.prompt_tokens,
    cached: usage?.prompt_tokens_details?.cached_tokens ?? 0,
  };
}

// Where the page is not served by https, nor from this machine.
function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
