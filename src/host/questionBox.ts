import * as vscode from 'vscode';

/** Asks for a question: free text, or one of the recent ones. Undefined when dismissed. */
export function askQuestion(
  imageNames: string[],
  recent: readonly string[],
): Promise<string | undefined> {
  const box = vscode.window.createQuickPick();
  box.title =
    imageNames.length === 1
      ? `Ask about ${imageNames[0]}`
      : `Ask about ${imageNames.length} images`;
  box.placeholder = 'Type a question and press Enter, or choose a recent one';
  box.matchOnDetail = false;
  const showItems = () => {
    const typed = box.value.trim();
    const others = recent.filter((question) => question !== typed);
    box.items = [
      ...(typed ? [{ label: typed, iconPath: new vscode.ThemeIcon('question') }] : []),
      ...others.map((label) => ({ label, iconPath: new vscode.ThemeIcon('history') })),
    ];
  };
  box.onDidChangeValue(showItems);
  showItems();
  return new Promise((resolve) => {
    box.onDidAccept(() => {
      const question = box.selectedItems[0]?.label ?? box.value.trim();
      if (!question) return;
      resolve(question);
      box.hide();
    });
    box.onDidHide(() => {
      resolve(undefined);
      box.dispose();
    });
    box.show();
  });
}
