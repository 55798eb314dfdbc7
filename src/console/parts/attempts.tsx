import type { AttemptRow } from "../service/answers.ts";
import { bytesText, durationText } from "./format.ts";
import { type Column, Table } from "./table.tsx";
import { Foreign, Time } from "./text.tsx";

const COLUMNS: readonly Column<AttemptRow>[] = [
  { title: "Time", cell: ({ started_at: at }) => <Time at={at} /> },
  { title: "Took", isNumber: true, cell: ({ duration_ms: ms }) => durationText(ms) },
  { title: "Code", cell: ({ code }) => <code>{code}</code> },
  { title: "HTTP", isNumber: true, cell: ({ http_status: status }) => status ?? "–" },
  { title: "Address", cell: ({ address }) => <Foreign text={address ?? "–"} /> },
  { title: "Proxy", cell: ({ proxy }) => <Foreign text={proxy ?? "–"} /> },
  { title: "Bytes", isNumber: true, cell: ({ bytes }) => bytesText(bytes) },
  { title: "Message", cell: ({ message }) => <Foreign text={message} wide /> },
  { title: "Start of the body", cell: BodyStart },
];

/** The failed attempts of a resource, the newest first. */
export function Attempts({ history }: { readonly history: readonly AttemptRow[] }) {
  return (
    <Table
      caption="Failed attempts"
      columns={COLUMNS}
      rows={history.toReversed()}
      keyOf={({ started_at: at, code }) => `${at} ${code}`}
    />
  );
}

/** The first bytes of an unwanted body, as text and in hexadecimal digits. */
function BodyStart({ body_start: hex }: AttemptRow) {
  if (hex === null) return <>–</>;
  const bytes = Uint8Array.fromHex(hex);
  return (
    <details>
      <summary>{bytes.length} bytes</summary>
      <Foreign text={new TextDecoder().decode(bytes)} wide />
      <code class="hex">{hex.replaceAll(/(..)/g, "$1 ")}</code>
    </details>
  );
}
