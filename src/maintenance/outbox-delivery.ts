/** The part of the outbox that delivery works with. */
interface Outbox {
  readonly isDelivered: boolean;
  replay(): void;
  trim(): void;
}

/** Gives the followers what they missed, and trims the outbox to what they have durably. False if one still cannot. */
export function deliverOutbox(outbox: Outbox): boolean {
  try {
    if (!outbox.isDelivered) outbox.replay();
    outbox.trim();
    return true;
  } catch {
    // Told when it began; readiness shows it until it works again.
    return false;
  }
}
