import * as vscode from 'vscode';
import type { EngineClient } from './engineClient';

/** The model, its device and what the engine is doing; a click chooses another model. */
export function createStatusBar(engine: EngineClient): vscode.Disposable {
  const item = vscode.window.createStatusBarItem(
    'avis.status',
    vscode.StatusBarAlignment.Right,
    50,
  );
  item.name = 'AVIS';
  item.command = 'avis.selectModel';
  const render = () => {
    const { state } = engine;
    const busy = engine.runningAsks > 0 || (state.status === 'ready' && state.stopping);
    item.backgroundColor = undefined;
    switch (state.status) {
      case 'unloaded':
        item.text = '$(eye) AVIS';
        item.tooltip = 'AVIS: no model is loaded; the next question loads it.';
        break;
      case 'loading':
        item.text = '$(loading~spin) AVIS';
        item.tooltip = `AVIS: ${state.message}…`;
        break;
      case 'ready': {
        const { name, device } = state.model;
        item.text = `${busy ? '$(loading~spin)' : '$(eye)'} AVIS: ${name} · ${device.device}`;
        item.tooltip = [
          `AVIS: ${name} on ${device.device}, ${busy ? 'running' : 'ready'}.`,
          ...device.rejected.map((one) => `Not on ${one.device}: ${one.reason}`),
          ...state.model.warnings,
        ].join('\n');
        break;
      }
      case 'failed':
        item.text = '$(error) AVIS';
        item.tooltip = `AVIS: ${state.error.message}`;
        item.backgroundColor = new vscode.ThemeColor('statusBarItem.errorBackground');
        break;
      default:
        state satisfies never;
    }
  };
  const subscription = engine.onDidChange(render);
  render();
  item.show();
  return vscode.Disposable.from(item, subscription);
}
