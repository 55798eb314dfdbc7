const REFERENCE = /\$(\$?)\{([^}]*)(\}?)/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A `${NAME}` that was filled in. */
export interface Reference {
  readonly name: string;
  /** Empty where the variable is not set. */
  readonly value: string;
}

/** A string of the TOML file: as it stands there, and with its `${NAME}` references filled in. */
export class FileText {
  readonly template: string;
  readonly text: string;
  readonly references: readonly Reference[];
  /** Why a reference could not be filled in, if one could not. */
  readonly problem: string | undefined;

  constructor(template: string, text: string, references: readonly Reference[], problem: string | undefined) {
    this.template = template;
    this.text = text;
    this.references = references;
    this.problem = problem;
  }

  get hasReference(): boolean {
    return this.references.length > 0;
  }
}

/** The value of a variable, or undefined. */
export type Lookup = (name: string) => string | undefined;

/** Whether a part of a template is one `${NAME}` reference and nothing else. */
export function isReference(template: string): boolean {
  return template.startsWith("${") && template.endsWith("}") && NAME.test(template.slice(2, -1));
}

/**
 * Fills in `${NAME}`; `$${` is a literal `${`. In the userinfo of a URL a value is percent-encoded, so that a
 * password may hold any character.
 */
export function expandReferences(template: string, lookup: Lookup): FileText {
  const userinfoEnd = /^[a-z][a-z0-9+.-]*:\/\/[^/\\?#]*@/i.exec(template)?.[0].length ?? 0;
  const references: Reference[] = [];
  let problem: string | undefined;
  const text = template.replace(REFERENCE, (whole, escape: string, name: string, close: string, at: number) => {
    if (escape !== "") return whole.slice(1);
    const value = lookup(name) ?? "";
    references.push({ name, value });
    if (close === "" || !NAME.test(name)) problem = "must name a variable as in ${NAME}; a literal ${ is written $${";
    else if (value === "") problem = `refers to \${${name}}, which is not set in the environment or .env`;
    return at < userinfoEnd ? encodeURIComponent(value) : value;
  });
  return new FileText(template, text, references, problem);
}
