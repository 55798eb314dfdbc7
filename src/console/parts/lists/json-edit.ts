import { jsonParts } from "./json-problem.ts";

// Edits of JSON texts that keep the rest of the text: numbers keep their digits, and members their order.

/** The text of each element of an array. */
export function elementTexts(array: string): string[] {
  return jsonParts(array).map(({ start, end }) => array.slice(start, end));
}

/** The text of a member that an object has. */
export function memberText(object: string, name: string): string {
  const [before, after] = aroundMember(object, name);
  return object.slice(before.length, object.length - after.length);
}

/** The object with another value of a member, which comes last if it is new. */
export function withMember(object: string, name: string, value: string): string {
  return aroundMember(object, name).join(value);
}

/** The texts before and after the value of a member. A member that is new comes last. */
export function aroundMember(object: string, name: string): readonly [string, string] {
  const parts = jsonParts(object);
  const part = parts.find((each) => each.name === name);
  if (part !== undefined) return [object.slice(0, part.start), object.slice(part.end)];
  const end = parts.at(-1)?.end ?? object.indexOf("{") + 1;
  return [`${object.slice(0, end)}${parts.length === 0 ? "" : ","}${JSON.stringify(name)}:`, object.slice(end)];
}
