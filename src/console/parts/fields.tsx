import type { ComponentChildren } from "preact";
import { hrefOf, place } from "../frame/location.ts";
import { serviceNow } from "../service/service-time.ts";
import { words } from "./format.ts";
import { Empty } from "./states.tsx";
import { Foreign } from "./text.tsx";

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly string[];
  /** Name of the option that has no value. */
  readonly none?: string;
  readonly onChange: (value: string) => void;
}

export function Choice({ label, value, options, none, onChange }: ChoiceProps) {
  return (
    <label class="field">
      {label}
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {none !== undefined && <option value="">{none}</option>}
        {options.map((option) => (
          <option key={option} value={option}>
            {words(option)}
          </option>
        ))}
      </select>
    </label>
  );
}

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly placeholder?: string;
  /** Called when the operator has finished: with Enter, or by leaving the field. */
  readonly onChange: (value: string) => void;
}

export function TextField({ label, value, placeholder, onChange }: TextFieldProps) {
  return (
    <label class="field">
      {label}
      <input
        type="search"
        value={value}
        placeholder={placeholder}
        onChange={({ currentTarget }) => onChange(currentTarget.value.trim())}
      />
    </label>
  );
}

const SPANS: Readonly<Record<string, number>> = { "15 m": 15, "1 h": 60, "24 h": 1440, "7 d": 10_080 };

/** A start time, as a span before the service's time. The address has the time itself: a link keeps its meaning. */
export function Since({ value, onChange }: { readonly value: string; readonly onChange: (value: string) => void }) {
  return (
    <label class="field">
      Since
      <select
        value={value}
        onChange={({ currentTarget }) => {
          const minutes = SPANS[currentTarget.value];
          onChange(minutes === undefined ? "" : new Date(serviceNow().getTime() - minutes * 60_000).toISOString());
        }}
      >
        <option value="">any time</option>
        {value !== "" && <option value={value}>{value.slice(0, 16).replace("T", " ")} UTC</option>}
        {Object.keys(SPANS).map((span) => (
          <option key={span} value={span}>
            {span}
          </option>
        ))}
      </select>
    </label>
  );
}

interface KnownFiltersProps {
  readonly known: readonly string[];
  readonly children: ComponentChildren;
}

/** A list, if it knows all filters of the address. An ignored one would let a change match more than is meant. */
export function KnownFilters({ known, children }: KnownFiltersProps) {
  const { path, query } = place.value;
  const unknown = Object.keys(query).filter((name) => name !== "cursor" && !known.includes(name));
  if (unknown.length === 0) return <>{children}</>;
  return (
    <Empty>
      The address has a filter that this list does not know: <Foreign text={unknown.join(", ")} wide />.{" "}
      <a href={hrefOf(path)}>Show the list without filters.</a>
    </Empty>
  );
}
