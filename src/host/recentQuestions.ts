const maxRecent = 20;

/** Newest first, each question once. */
export function addRecentQuestion(recent: readonly string[], question: string): string[] {
  return [question, ...recent.filter((other) => other !== question)].slice(0, maxRecent);
}
