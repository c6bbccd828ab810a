// What the kept tokens look at: one tile for each, the light on the picture, and a line of words.

import { drawOver, thumbnail, tokenAt } from "./overlay.js";
import { largest } from "./look.js";
import { $, element, percent } from "./format.js";

export class Inspector {
  constructor() {
    this.look = undefined;
    this.selected = undefined; // a token's number, undefined for all of them
    this.bare = false; // the picture only
    this.canvas = $("overlay");
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => this.#draw());
    this.canvas.addEventListener("click", (event) => this.#select(this.#under(event)));
    $("tokens").addEventListener("keydown", (event) => this.#move(event));
    $("tokens").addEventListener("pointerleave", () => this.#draw());
    $("show-all").addEventListener("click", () => this.#show(false));
    $("show-none").addEventListener("click", () => this.#show(true));
    new ResizeObserver(() => this.#draw()).observe(this.canvas);
  }

  // `look` is undefined while it is not known, or where there is none; `words` then say why.
  set(look, words = "") {
    this.look = look;
    this.selected = undefined;
    this.bare = false;
    $("kept").hidden = !look;
    $("tokens").replaceChildren(...(look ? this.#tiles() : []));
    this.#draw();
    if (!look) $("caption").textContent = words;
  }

  #tiles() {
    const { m, keptGrid } = this.look;
    const columns = keptGrid.rows > 1 ? keptGrid.cols : Math.ceil(Math.sqrt(m));
    $("tokens").style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    return Array.from({ length: m }, (_, token) => this.#tile(token));
  }

  #tile(token) {
    const tile = element("button", {
      type: "button",
      role: "radio",
      tabIndex: token === 0 ? 0 : -1,
      "aria-checked": "false",
      "aria-label": `Kept token ${token + 1}`,
    }, [thumbnail(this.look.row(token), this.look.grid)]);
    tile.addEventListener("pointerenter", () => this.#draw(token));
    tile.addEventListener("click", () => this.#select(token));
    tile.addEventListener("focus", () => tile.matches(":focus-visible") && this.#select(token, false));
    return tile;
  }

  // A second click on the same token takes it back.
  #select(token, toggle = true) {
    this.selected = toggle && token === this.selected ? undefined : token;
    this.bare = false;
    [...$("tokens").children].forEach((tile, index) => {
      tile.setAttribute("aria-checked", String(index === this.selected));
      tile.tabIndex = index === (this.selected ?? 0) ? 0 : -1;
    });
    this.#draw();
  }

  #show(bare) {
    this.#select(undefined);
    this.bare = bare;
    this.#draw();
  }

  #move(event) {
    const tiles = [...$("tokens").children];
    const columns = getComputedStyle($("tokens")).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    if (event.key === "Escape") this.#select(undefined);
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = tiles[tiles.indexOf(event.target) + steps[event.key]];
    next?.focus();
    if (next) this.#select(tiles.indexOf(next), false);
  }

  #point(event) {
    if (event.pointerType === "mouse") this.#draw(this.#under(event));
  }

  #under(event) {
    if (!this.look) return undefined;
    const visual = tokenAt(this.canvas, event, this.look.grid, this.look.visible);
    return visual === undefined ? undefined : this.look.strongestAt(visual);
  }

  // `pointed` is a token that the pointer is on, shown before the selected one.
  #draw(pointed) {
    const { look } = this;
    const token = pointed ?? this.selected;
    const bare = !look || (this.bare && token === undefined);
    const values = bare ? undefined : token === undefined ? look.coverage : look.row(token);
    drawOver(this.canvas, values, look?.grid, look?.visible);
    $("show-all").setAttribute("aria-pressed", String(!bare && token === undefined));
    $("show-none").setAttribute("aria-pressed", String(bare));
    [...$("tokens").children].forEach((tile, index) => tile.classList.toggle("pointed", index === token));
    if (look) $("caption").replaceChildren(...this.#words(token, bare));
  }

  #words(token, bare) {
    const { look } = this;
    if (bare) return [`The picture as you gave it: ${look.n} visual tokens.`];
    if (token === undefined) {
      const dark = look.unseenShare;
      const rest = dark ? ` ${percent(dark)} of the picture is hardly looked at.` : " No part of the picture is left out.";
      return [element("b", { text: `All ${look.m} kept tokens` }), ` of ${look.n}.${rest}`];
    }
    const row = look.row(token);
    return [
      element("b", { text: `Kept token ${token + 1}` }),
      ` looks at about ${look.breadth(token).toFixed(0)} of ${look.n} visual tokens; the strongest gives ${percent(largest(row))} of it.`,
    ];
  }
}
