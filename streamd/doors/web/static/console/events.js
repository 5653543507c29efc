// Changes on the server, as they happen: server-sent events, read by fetch, since EventSource shows no token.

import { Backoff } from "../backoff.js";
import { ApiError } from "./client.js";

const RETRY_MS = 500;
const RETRY_MAX_MS = 8_000;
// The server gives a sign of life every 8 s.
const SILENCE_MAX_MS = 20_000;

/** Follows the events of the server, over and over again, until it is closed. */
export class Events {
  #client;
  #handlers;
  #closed = new AbortController();

  /**
   * @param handlers functions by event, given its data; `open` when events come, `lost` when they come no more
   */
  constructor(client, handlers) {
    this.#client = client;
    this.#handlers = handlers;
    this.#run();
  }

  close() {
    this.#closed.abort();
  }

  async #run() {
    const wait = new Backoff(RETRY_MS, RETRY_MAX_MS);
    while (!this.#closed.signal.aborted) {
      const connection = new AbortController();
      const signal = AbortSignal.any([this.#closed.signal, connection.signal]);
      let reason = "";
      try {
        const body = await this.#client.stream("/api/v1/events", signal);
        wait.reset();
        this.#handlers.open();
        await this.#read(body, connection);
      } catch (error) {
        reason = error instanceof ApiError && error.status > 0 ? error.message : "";
      }
      if (this.#closed.signal.aborted || !this.#client.isSignedIn) return;
      this.#handlers.lost(reason);
      await new Promise((resolve) => setTimeout(resolve, wait.next()));
    }
  }

  async #read(body, connection) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let unread = "";
    for (;;) {
      const silence = setTimeout(() => connection.abort(), SILENCE_MAX_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      const messages = (unread + value).split("\n\n");
      unread = messages.pop() ?? "";
      for (const message of messages) this.#dispatch(message);
    }
  }

  /** The server writes one line of each field, and nothing else (events.py). */
  #dispatch(message) {
    const fields = Object.fromEntries(
      message.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    if (fields.event) this.#handlers[fields.event]?.(JSON.parse(fields.data));
  }
}
