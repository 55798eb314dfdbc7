import type { ComponentChildren } from "preact";

interface FactsProps {
  readonly children: ComponentChildren;
}

/** A list of names with their values. */
export function Facts({ children }: FactsProps) {
  return <dl class="facts">{children}</dl>;
}

export function Fact({ title, children }: FactsProps & { readonly title: string }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </div>
  );
}
