/** Waits that grow by half each time up to a limit, scattered so that a crowd does not ask in step. */
export class Backoff {
  #first;
  #max;
  #next;
  #random;

  /**
   * @param {number} firstMs
   * @param {number} maxMs
   * @param {() => number} random from 0 to below 1
   */
  constructor(firstMs, maxMs, random = Math.random) {
    this.#first = firstMs;
    this.#max = maxMs;
    this.#next = firstMs;
    this.#random = random;
  }

  reset() {
    this.#next = this.#first;
  }

  /** The next wait in milliseconds, 80 to 120 % of its step. */
  next() {
    const step = this.#next;
    this.#next = Math.min(this.#max, step * 1.5);
    return step * (0.8 + 0.4 * this.#random());
  }
}
