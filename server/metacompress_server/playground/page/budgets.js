// The budgets that a picture may have here, as one row of radio buttons.

import { $, element } from "./format.js";

export const FULL = "full";
const NAMES = { low: "Low", auto: "Default", high: "High" };

// Budgets of the model's card: {detail, name, tokens}, fewest tokens first, each number once.
export function budgetsOf(card) {
  const compressor = card.metacompress;
  if (!compressor) return [];
  const found = [];
  for (const detail of ["auto", "low", "high"]) {
    const tokens = compressor.image_tokens[detail];
    if (!found.some((budget) => budget.tokens === tokens)) found.push({ detail, name: NAMES[detail], tokens });
  }
  if (compressor.serves_uncompressed) {
    found.push({ detail: FULL, name: "All", tokens: compressor.image_tokens_original });
  }
  return found.sort((one, other) => one.tokens - other.tokens);
}

export function offerBudgets(budgets, chosen, onChange) {
  const choices = budgets.map((budget) => {
    const radio = element("input", { type: "radio", name: "budget", value: budget.detail, checked: budget.detail === chosen });
    radio.addEventListener("change", () => onChange(budget.detail));
    return element("label", {}, [
      radio,
      element("span", {}, [element("b", { text: budget.name }), ` ${budget.tokens}`]),
    ]);
  });
  const [legend] = $("budgets").children;
  $("budgets").replaceChildren(legend, ...choices);
  $("budgets").hidden = !budgets.length;
}
