// The server's own figures of the last hour, drawn by uPlot.

import { messageOf } from "../asking.js";
import { byId, element, setText } from "../dom.js";
import { bitrate, size } from "../format.js";
import { say } from "../notice.js";

const HOUR_S = 3600;
// A server that has just started shows what it has, not an hour of nothing.
const SPAN_S_MIN = 600;
const HEIGHT = 180;
const whole = (number) => Math.round(number).toLocaleString("en");

const CHARTS = [
  { title: "Coming in", field: "ingest_bps", format: bitrate },
  { title: "Going out", field: "egress_bps", format: bitrate },
  {
    title: "Viewers",
    field: "viewers",
    format: whole,
    steps: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5],
  },
  { title: "Part delay", note: "95 % are not later", field: "part_delay_ms", format: (ms) => `${whole(ms)} ms` },
  {
    title: "CPU",
    note: "of one core",
    field: "cpu_percent",
    format: (percent) => `${percent.toFixed(percent < 10 ? 1 : 0)} %`,
  },
  {
    title: "Memory",
    field: "memory_bytes",
    format: size,
    steps: Array.from({ length: 22 }, (_, power) => 2 ** (20 + power)),
  },
];

/** One figure over time, with its newest value in words. */
class Chart {
  #spec;
  #uPlot;
  /** @type {import("uplot") | null} */
  #plot = null;
  /** @type {[number[], (number | null)[]]} */
  #data = [[], []];
  #now = element("span", { class: "chart-now" }, "–");
  #canvas = element("div", { class: "chart-canvas", role: "img" });

  constructor(uPlot, spec) {
    this.#uPlot = uPlot;
    this.#spec = spec;
    const title = element(
      "span",
      { class: "chart-title" },
      spec.title,
      spec.note ? element("small", {}, ` ${spec.note}`) : null,
    );
    this.root = element("figure", { class: "chart" }, element("figcaption", {}, title, this.#now), this.#canvas);
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#rebuild());
  }

  show(samples) {
    const { field, format, title } = this.#spec;
    this.#data = [samples.map((sample) => Date.parse(sample.at) / 1000), samples.map((sample) => sample[field])];
    const values = this.#data[1].filter((value) => value !== null);
    setText(this.#now, values.length > 0 ? format(values.at(-1)) : "–");
    const words =
      values.length > 0 ? `now ${format(values.at(-1))}, at most ${format(Math.max(...values))}` : "nothing yet";
    this.#canvas.setAttribute("aria-label", `${title} over the last hour: ${words}`);
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#rebuild();
  }

  #rebuild() {
    this.#plot?.destroy();
    this.#plot = null;
    const width = this.#canvas.clientWidth;
    // A view that is not shown has no width; the observer tells when it has one.
    if (width === 0) return;
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = {
      stroke: color("--quiet"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    const { format, field, steps } = this.#spec;
    const options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: "server" }, drag: { x: false, y: false }, y: false },
      scales: {
        x: {
          range: (_, oldest, newest) => {
            const end = newest ?? Date.now() / 1000;
            return [Math.max(end - HOUR_S, Math.min(oldest ?? end, end - SPAN_S_MIN)), end];
          },
        },
        y: { range: (_, __, highest) => [0, Math.max(1e-9, (highest ?? 1) * 1.15)] },
      },
      axes: [
        {
          ...axis,
          size: 32,
          space: 70,
          values: (_, ticks) =>
            ticks.map((tick) =>
              new Date(tick * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }),
            ),
        },
        { ...axis, size: 76, space: 40, ...(steps ? { incrs: steps } : {}), values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        {},
        {
          stroke: color("--accent"),
          width: 2,
          fill: color("--accent-faint"),
          spanGaps: field === "part_delay_ms",
          points: { show: false },
        },
      ],
      hooks: { setCursor: [(plot) => this.#showValueAt(plot.cursor.idx)] },
    };
    this.#plot = new this.#uPlot(options, this.#data, this.#canvas);
  }

  #showValueAt(index) {
    const values = this.#data[1];
    const value = index === null || index === undefined ? values.findLast((one) => one !== null) : values[index];
    setText(this.#now, value === null || value === undefined ? "–" : this.#spec.format(value));
  }

  #resize() {
    const width = this.#canvas.clientWidth;
    if (this.#plot && width > 0) this.#plot.setSize({ width, height: HEIGHT });
    else this.#rebuild();
  }
}

export class ServerView {
  #client;
  #module;
  #samples = [];
  #charts = [];
  #notice = byId("server-notice");

  /** @param module address of uPlot's module; empty where the server was built without it */
  constructor(client, module) {
    this.#client = client;
    this.#module = module;
  }

  /** Read the last hour anew. */
  async refresh() {
    if (!this.#module) {
      this.#say("There are no charts", "This server was built without npm. The same figures are at /metrics.");
      return;
    }
    try {
      if (this.#charts.length === 0) await this.#makeCharts();
      const { samples } = await this.#client.get("/api/v1/history");
      this.#samples = samples;
      this.#show();
    } catch (error) {
      this.#say("The figures could not be read", messageOf(error));
    }
  }

  /** Add a sample. */
  add(sample) {
    if (this.#charts.length === 0) return;
    const oldest = Date.parse(sample.at) - HOUR_S * 1000;
    this.#samples = [...this.#samples.filter(({ at }) => Date.parse(at) > oldest && at !== sample.at), sample];
    this.#show();
  }

  async #makeCharts() {
    const { default: uPlot } = await import(new URL(this.#module, document.baseURI).href);
    this.#charts = CHARTS.map((spec) => new Chart(uPlot, spec));
    byId("charts").replaceChildren(...this.#charts.map((chart) => chart.root));
  }

  #show() {
    if (this.#samples.length === 0)
      this.#say("No figures yet", "The first come a few seconds after the server’s start.");
    else this.#notice.replaceChildren();
    for (const chart of this.#charts) chart.show(this.#samples);
  }

  #say(headline, text) {
    say(this.#notice, headline, text);
  }
}
