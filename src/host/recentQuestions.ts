const maxRecent = 20;
const maxLength = 1000;

/** Newest first, each question once; empty and very long ones are not kept. */
export function addRecentQuestion(recent: readonly string[], question: string): string[] {
  if (question.trim() === '' || question.length > maxLength) return [...recent];
  return [question, ...recent.filter((other) => other !== question)].slice(0, maxRecent);
}
