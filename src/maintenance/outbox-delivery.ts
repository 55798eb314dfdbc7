/** The part of the outbox that delivery uses. */
interface Outbox {
  readonly isDelivered: boolean;
  replay(): void;
  trim(): void;
}

/** Delivers missed batches to the projections and trims the outbox. False if a projection still cannot be written. */
export function deliverOutbox(outbox: Outbox): boolean {
  try {
    if (!outbox.isDelivered) outbox.replay();
    outbox.trim();
    return true;
  } catch {
    // The first failure was logged; readiness shows it until a delivery works.
    return false;
  }
}
