// Draws the page of `tidelog bench --html` without a browser and prints the HTML that its script has made. The document
// has the few functions that the script uses; anything else ends the program with an error.

import { readFileSync } from "node:fs";

const page = readFileSync(process.argv[2], "utf8");
const [, data] = page.match(/<script type="application\/json" id="report">(.*?)<\/script>/s);
const [, script] = page.match(/<script>\n(.*?)<\/script>/s);

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

class Node {
  constructor(name) {
    this.name = name;
    this.attributes = [];
    this.children = [];
  }

  setAttribute(name, value) {
    this.attributes.push(` ${name}="${escaped(String(value))}"`);
  }

  append(...children) {
    this.children.push(...children);
  }

  replaceChildren(...children) {
    this.children = children;
  }

  toString() {
    const children = this.children.map((child) => (child instanceof Node ? String(child) : escaped(String(child))));
    return `<${this.name}${this.attributes.join("")}>${children.join("")}</${this.name}>`;
  }
}

const main = new Node("main");
const document = {
  title: "",
  createElement: (name) => new Node(name),
  createElementNS: (_, name) => new Node(name),
  getElementById: (id) => ({ report: { textContent: data }, page: main })[id],
};
new Function("document", script)(document);
console.log(`<title>${escaped(document.title)}</title>${main}`);
