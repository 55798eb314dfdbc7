import { expect } from "bun:test";
import type { Page } from "./browser.ts";
import type { Service } from "./service.ts";

/** Waits until the page shows a text. */
export function shows(page: Page, text: string): Promise<true> {
  return page.until(`the page shows "${text}"`, `document.body?.innerText.includes(${JSON.stringify(text)}) || null`);
}

/** Goes to an address, and waits until its own document is there: what the last one showed answers no question. */
export async function visit(page: Page, address: string): Promise<void> {
  await page.evaluate(`window.isLeft = true; location.href = ${JSON.stringify(address)}`);
  await page.until(`${address} is there`, "(!window.isLeft && document.body !== null) || null");
}

export function click(page: Page, selector: string, text = ""): Promise<true> {
  const found = `[...document.querySelectorAll(${JSON.stringify(selector)})]
    .find((each) => each.innerText.includes(${JSON.stringify(text)}) && !each.disabled)`;
  return page.until(`${selector} "${text}" is there`, `((each) => each ? (each.click(), true) : null)(${found})`);
}

/** Types into a field as a person does: the page hears of it. */
export function type(page: Page, selector: string, text: string): Promise<true> {
  return page.until(
    `${selector} is there`,
    `((field) => {
      if (!field) return null;
      field.value = ${JSON.stringify(text)};
      field.dispatchEvent(new Event("input", { bubbles: true }));
      return true;
    })(document.querySelector(${JSON.stringify(selector)}))`,
  );
}

/** Enters a value into the text field with this label. */
export function enter(page: Page, label: string, value: string): Promise<true> {
  return change(page, { label, value, element: "input" });
}

/** Chooses an option of the field with this label. */
export function choose(page: Page, label: string, value: string): Promise<true> {
  return change(page, { label, value, element: "select" });
}

interface Change {
  readonly label: string;
  readonly value: string;
  readonly element: "input" | "select";
}

function change(page: Page, { label, value, element }: Change): Promise<true> {
  return page.until(
    `the field ${label} is there`,
    `((field) => {
      if (!field) return null;
      field.value = ${JSON.stringify(value)};
      field.dispatchEvent(new Event("change", { bubbles: true }));
      return true;
    })([...document.querySelectorAll("label.field")]
      .find((each) => each.innerText.startsWith(${JSON.stringify(label)}))?.querySelector("${element}"))`,
  );
}

export function press(page: Page, key: string): Promise<boolean> {
  const event = `new KeyboardEvent("keydown", { key: ${JSON.stringify(key)}, bubbles: true })`;
  return page.evaluate(`(document.activeElement ?? document.body).dispatchEvent(${event})`);
}

/** Nothing went wrong in the page: no error, no violation of its policy, no request to another server. */
export function expectClean(page: Page, service: Service, problems: readonly string[] = []): void {
  expect(page.problems).toEqual([...problems]);
  expect(page.requests.filter((url) => !url.startsWith(`${service.url}/`) && !url.startsWith("data:"))).toEqual([]);
}
