// Authorities' orders: taken as they came, carried out at once, with the time that is left and the text of the reply.

import { ask, choiceField, longField, open, textField } from "../asking.js";
import { byId, element } from "../dom.js";
import { countriesOf } from "./blocks.js";
import { tell } from "./dialogs.js";
import { cell, PagedTable, time } from "./list.js";

const TEXT_LENGTH_MAX = 500;
const REASONS_LENGTH_MAX = 2_000;
const LOOK_AT_CLOCKS_MS = 1_000;
const EFFECTS = {
  taken_down: "taken down",
  blocked: "not shown there",
  not_here: "not on this server",
  impossible: "not carried out",
};

/**
 * A time in words: "58 min 20 s".
 *
 * @param {number} seconds
 */
export function lasting(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * How an order stands to its deadline.
 *
 * @param {{deadline: string | null, in_time: boolean, answered_at: string | null}} order
 * @param {number} now milliseconds since 1970
 * @returns {{text: string, level: string} | null} null where there is no deadline
 */
export function clockOf({ deadline, in_time: isInTime, answered_at: answeredAt }, now) {
  if (!deadline) return null;
  if (!isInTime) return { text: "Carried out late", level: "bad" };
  if (answeredAt) return { text: "In time", level: "good" };
  const left = (Date.parse(deadline) - now) / 1_000;
  return left > 0
    ? { text: `${lasting(left)} left for the reply`, level: "warning" }
    : { text: `The reply is ${lasting(-left)} late`, level: "bad" };
}

/** A time of a field of the browser's own time zone; null for none. */
function instant(text) {
  return text ? new Date(text).toISOString() : null;
}

export class OrdersView {
  #client;
  #table;
  #state = byId("orders-state", HTMLSelectElement);

  constructor(client) {
    this.#client = client;
    this.#table = new PagedTable("orders", {
      load: async (before, limit) => {
        const page = await client.get("/api/v1/orders", { answered: this.#state.value, before, limit });
        return { ...page, next_after: page.next_before };
      },
      items: (page) => page.orders,
      keyOf: (order) => order.id,
      cellsOf: (order) => this.#cells(order),
      empty: () =>
        this.#state.value
          ? ["No such order", "No order is in this state."]
          : ["No order has come", "What an authority orders is carried out here, and its reply is written."],
    });
    this.#state.addEventListener("change", () => this.refresh());
    byId("orders-add").addEventListener("click", () => this.#receive());
    setInterval(() => this.#tick(), LOOK_AT_CLOCKS_MS);
  }

  refresh() {
    return this.#table.refresh();
  }

  /** What stands there may have changed. */
  follow() {
    return this.#table.follow();
  }

  async #receive() {
    const { categories } = await this.#client.get("/api/v1/categories");
    const done = await ask({
      title: "An authority’s order",
      body: [element("p", {}, "What it names is dark when this is answered: in its countries, or everywhere.")],
      fields: [
        textField("Authority", { required: true, maxlength: TEXT_LENGTH_MAX }),
        textField("Its reference", { required: true, maxlength: TEXT_LENGTH_MAX }),
        textField("Legal basis", {
          required: true,
          maxlength: TEXT_LENGTH_MAX,
          hint: "Regulation (EU) 2021/784 has its hour by itself.",
        }),
        longField("What it names", { required: true, hint: "URLs, names or ids, one a line." }),
        textField("Countries", { maxlength: 200, hint: "Where it holds: DE, FR, EU. Empty for everywhere." }),
        choiceField("What for", [
          ["", "As the order says"],
          ...categories.map((each) => /** @type {[string, string]} */ ([each.category, each.title])),
        ]),
        textField("Received", { type: "datetime-local", hint: "Empty for now." }),
        textField("Deadline", { type: "datetime-local", hint: "Empty for none of its own." }),
        longField("Its reasons", { maxlength: REASONS_LENGTH_MAX }),
        longField("Redress", { maxlength: TEXT_LENGTH_MAX, hint: "How one can complain about it, as it says." }),
      ],
      confirm: "Carry it out",
      isDangerous: true,
      act: (authority, reference, basis, named, countries, category, received, deadline, reasons, redress) =>
        this.#client.post("/api/v1/orders", {
          authority,
          reference,
          legal_basis: basis,
          urls: named.split("\n").flatMap((line) => line.trim() || []),
          territorial_scope: countriesOf(countries),
          category,
          received_at: instant(received),
          deadline: instant(deadline),
          reasons,
          redress,
        }),
    });
    if (!done) return;
    if (done.unwritten) tell(`Note: ${done.unwritten}.`);
    this.refresh();
    await this.#show(done);
  }

  /** The order with what was done about it, and the text for the authority. */
  async #show(order) {
    const reply = element("textarea", { id: "order-reply", rows: 14, readonly: true }, order.reply);
    const content = [
      element(
        "ul",
        { class: "lines" },
        ...order.effects.map((each) =>
          element(
            "li",
            {},
            element("code", {}, each.url),
            `: ${EFFECTS[each.effect]}`,
            each.detail && ` (${each.detail})`,
          ),
        ),
      ),
      element("div", { class: "field" }, element("label", { for: "order-reply" }, "Reply"), reply),
    ];
    const title = `Order ${order.reference} of ${order.authority}`;
    if (order.answered_at) {
      open(
        title,
        ...content,
        element("p", {}, `Sent by ${order.answered_by} `, time(order.answered_at)),
        element("form", { method: "dialog" }, element("button", { class: "button", type: "submit" }, "Close")),
      );
      return;
    }
    const done = await ask({
      title,
      body: content,
      fields: [textField("Note", { maxlength: TEXT_LENGTH_MAX, hint: "How it was sent; for the audit log." })],
      confirm: "It was sent",
      act: (reason) => this.#client.post(`/api/v1/orders/${order.id}/answered`, { reason }),
    });
    if (!done) return;
    tell("The reply is noted as sent.");
    this.refresh();
  }

  /** The time that is left passes also where nothing else happens. */
  #tick() {
    if (byId("orders").hidden) return;
    for (const clock of byId("orders-rows").querySelectorAll("[data-order]")) {
      const found = clockOf(JSON.parse(/** @type {HTMLElement} */ (clock).dataset.order ?? ""), Date.now());
      if (found && clock.textContent !== found.text) clock.textContent = found.text;
    }
  }

  #cells(order) {
    const clock = clockOf(order, Date.now());
    const { deadline, in_time, answered_at } = order;
    const where = order.territorial_scope.join(", ") || "everywhere";
    const effects = Object.keys(EFFECTS).flatMap((effect) => {
      const number = order.effects.filter((each) => each.effect === effect).length;
      return number ? `${number} ${EFFECTS[effect]}` : [];
    });
    return [
      cell(
        "Order",
        element("strong", {}, order.authority),
        element("span", { class: "extra" }, `${order.reference}, ${order.legal_basis}`),
      ),
      cell("Received", time(order.received_at), element("span", { class: "extra" }, where)),
      cell(
        "Done",
        effects.join(", "),
        element("span", { class: "extra" }, `${lasting(order.took_s)} after it came, by ${order.acted_by}`),
      ),
      cell(
        "Clock",
        clock
          ? element(
              "span",
              {
                class: "pill",
                "data-level": clock.level,
                "data-order": JSON.stringify({ deadline, in_time, answered_at }),
              },
              clock.text,
            )
          : "no deadline",
      ),
      cell("Reply", order.answered_at ? time(order.answered_at) : "not sent"),
      element(
        "td",
        { class: "acts" },
        element(
          "div",
          { class: "buttons" },
          element(
            "button",
            {
              class: "button small",
              type: "button",
              "aria-label": `Reply to ${order.reference}`,
              onclick: () => this.#show(order),
            },
            "Reply",
          ),
        ),
      ),
    ];
  }
}
