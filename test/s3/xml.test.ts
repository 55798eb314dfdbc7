import { describe, expect, test } from "bun:test";
import { elementsOf, escapeXml, textOf } from "../../src/storage/s3/client/xml.ts";

describe("the text of an element", () => {
  test("is that of the first of its name", () => {
    expect(textOf('<?xml version="1.0"?>\n<Error><Code>SlowDown</Code><Code>2</Code></Error>', "Code")).toBe(
      "SlowDown",
    );
    expect(textOf("<Keys>no</Keys><Key></Key>", "Key")).toBe("");
  });

  test("is nothing where there is no such element, or no end of it", () => {
    for (const xml of ["", "plain text", "<Code/>", "<Code>cut off", "</Code><Code"]) {
      expect(textOf(xml, "Code")).toBeUndefined();
    }
  });

  test("has its references resolved once, and no entity beyond the five", () => {
    expect(textOf("<K>&lt;a&gt; &amp;amp; &quot;&apos;&#233;&#x1F600;</K>", "K")).toBe("<a> &amp; \"'é😀");
    expect(textOf("<K>&xxe; &#x110000; &#9999999; & &;</K>", "K")).toBe("&xxe; &#x110000; &#9999999; & &;");
  });

  test("that is escaped is read as it was", () => {
    const text = `<&>"'&amp;]]>`;
    expect(textOf(`<K>${escapeXml(text)}</K>`, "K")).toBe(text);
  });
});

test("elements of a name are found in order, also among others and when the last is cut off", () => {
  const xml = "<R><A>1</A><B>x</B><A><C>2</C></A><A>3";
  expect([...elementsOf(xml, "A")]).toEqual(["1", "<C>2</C>"]);
  expect([...elementsOf(xml, "D")]).toEqual([]);
});
