// The server's routes, and its errors in words.

export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const IN_WORDS = {
  0: "The server cannot be reached. Is it still running?",
  401: "This server asks for an API key, and this one is missing or not known.",
  404: "This server does not have that.",
  413: "That is larger than this server takes.",
  503: "The server is not ready: it starts, or shuts down. Try again in a moment.",
};

let key = "";

export function useKey(value) {
  key = value.trim();
}

export async function models() {
  return (await (await call("v1/models")).json()).data;
}

export async function samples() {
  return (await call("playground/samples.json")).json();
}

export async function samplePicture(name) {
  return (await call(`playground/${name}`)).blob();
}

export async function look(url, detail) {
  return (await send("playground/look", { image_url: { url, detail } })).json();
}

// Yields {text} as it comes, and {usage} at the end.
export async function* chat(request, sessionId, signal) {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const answer = await send("v1/chat/completions", body, {
    signal,
    headers: { "X-Session-ID": sessionId },
  });
  for await (const event of events(answer.body)) {
    if (event.error) throw new ServerError(event.error.message, event.error.code);
    const text = event.choices?.[0]?.delta?.content;
    if (text) yield { text };
    if (event.usage && !event.choices?.length) yield { usage: event.usage };
  }
}

// Best effort: a session that is not ended is forgotten by the server after a while.
export function endSession(sessionId) {
  return call(`v1/sessions/${sessionId}`, { method: "DELETE", keepalive: true }).catch((error) => {
    if (error.status !== 404) console.warn(error.message);
  });
}

function send(path, body, { signal, headers } = {}) {
  return call(path, {
    method: "POST",
    signal,
    headers: { ...headers, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function call(path, options = {}) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(IN_WORDS[0]);
  }
  if (!answer.ok) throw await inWords(answer);
  return answer;
}

async function inWords(answer) {
  const told = await answer.json().then((body) => body.error?.message, () => undefined);
  if (answer.status === 401) return new ServerError(IN_WORDS[401], 401);
  if (answer.status === 429) {
    const wait = answer.headers.get("Retry-After");
    const when = wait ? `Try again in ${wait} s.` : "Try again in a moment.";
    return new ServerError(`The server has no room just now: ${told ?? "too many requests"}. ${when}`, 429);
  }
  const words = told ?? IN_WORDS[answer.status] ?? `The server answered with status ${answer.status}.`;
  return new ServerError(words[0].toUpperCase() + words.slice(1), answer.status);
}

// The JSON of each server-sent event, until [DONE].
async function* events(stream) {
  const decoder = new TextDecoder();
  let held = "";
  for await (const piece of pieces(stream)) {
    held += decoder.decode(piece, { stream: true });
    const whole = held.split("\n\n");
    held = whole.pop();
    for (const event of whole) {
      const data = event.replace(/^data: /, "").trim();
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}
