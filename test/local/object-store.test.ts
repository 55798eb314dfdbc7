import { describeObjectStore } from "../contract/object-store.ts";
import { makeLocalHarness } from "../support/local-objects.ts";

describeObjectStore("local object store", makeLocalHarness);
