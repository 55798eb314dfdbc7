import { expect, test } from "bun:test";
import { rolesFor } from "../../src/api/http/access.ts";
import { ROLES } from "../../src/config/values/access-token.ts";
import { roleRefusal } from "../../src/console/service/role-refusal.ts";

test("the console allows each role what the service allows it", () => {
  for (const role of ROLES) {
    for (const needs of ROLES) {
      const isAllowed = roleRefusal(needs, { needed: true, role }) === undefined;
      expect([role, needs, isAllowed]).toEqual([role, needs, rolesFor(needs).includes(role)]);
    }
  }
  expect(roleRefusal("operator", { needed: false, role: null })).toBeUndefined();
});

test("a refusal names both roles, and without a role everything is refused", () => {
  expect(roleRefusal("read", { needed: true, role: "submit" })).toBe(
    "It needs a token with the role read; yours is submit.",
  );
  expect(roleRefusal("read", { needed: true, role: null })).toBe(
    "It needs a token with the role read; yours is unknown.",
  );
});
