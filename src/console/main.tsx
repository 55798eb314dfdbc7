import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import { ConsoleApp } from "./console-app.tsx";
import "./console.css";
import { announce } from "./frame/announcement.tsx";
import { listenToKeys } from "./frame/keyboard.ts";
import { followLinks } from "./frame/location.ts";
import { keepPreferences } from "./frame/preferences.ts";
import { readSession } from "./service/browser-session.ts";

keepPreferences();
followLinks();
listenToKeys();
const root = document.querySelector("#console");
if (root !== null) render(<ConsoleApp />, root);
try {
  await readSession();
} catch (error) {
  announce(`The service did not answer: ${(error as Error).message} Load the page again.`);
}
