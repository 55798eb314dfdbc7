import { Foreign } from "../parts/text.tsx";

/** A filter as chips; empty: everything. */
export function FilterText({ filter }: { readonly filter: Readonly<Record<string, string>> }) {
  const pairs = Object.entries(filter);
  return (
    <p class="chips">
      {pairs.length === 0 && <span class="chip">everything</span>}
      {pairs.map(([name, value]) => (
        <span key={name} class="chip">
          {name}=<Foreign text={value} />
        </span>
      ))}
    </p>
  );
}
