/** What a person set in VS Code, in the engine's terms. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import { defaultSettings, settingRanges } from '../avis/settings';
import type { AskSettings, DeviceSetting, ModelInfo } from '../shared/types';
import type { ModelChoice } from './engineClient';

/** @param embeddedFolder the checkpoint that comes with the extension, used where none is set. */
export function readModelChoice(embeddedFolder: string): ModelChoice {
  const settings = vscode.workspace.getConfiguration('avis');
  return {
    folder: absoluteFolder(settings.get<string>('model.path', '').trim()) ?? embeddedFolder,
    device: settings.get<DeviceSetting>('engine.device', 'auto'),
    dtype: settings.get<string>('engine.dtype', 'auto'),
  };
}

/** `~` is the home folder, and a relative path starts at the first workspace folder. */
function absoluteFolder(path: string): string | undefined {
  if (path === '') return undefined;
  if (path.startsWith('~')) return join(homedir(), path.slice(1));
  if (isAbsolute(path)) return path;
  return join(vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? homedir(), path);
}

/** Minutes; 0 = never. */
export function readIdleMinutes(): number {
  return vscode.workspace.getConfiguration('avis').get<number>('engine.idleMinutes', 10);
}

export function readAutoRun(): boolean {
  return vscode.workspace.getConfiguration('avis').get<boolean>('autoRun', true);
}

/**
 * The levers of a new panel: those set in VS Code, and where nothing is set, the model's own policy or
 * the paper's. VS Code doesn't enforce the ranges of its settings file, so numbers are clamped.
 */
export function readStartSettings(policy: ModelInfo['policy']): AskSettings {
  const settings = vscode.workspace.getConfiguration('avis.defaults');
  const defaults = defaultSettings(policy);
  const number = (name: string, range: keyof typeof settingRanges, fallback: number) => {
    const value = settings.get<number | null>(name, null) ?? fallback;
    const { min, max } = settingRanges[range];
    return Number.isFinite(value) ? Math.min(max, Math.max(min, value)) : fallback;
  };
  const whole = (...parameters: Parameters<typeof number>) => Math.round(number(...parameters));
  const { tauDegrees } = defaults.prune as { tauDegrees: number };
  return {
    prune:
      settings.get('pruneMode') === 'fixed'
        ? { mode: 'fixed', ratio: number('pruneRatio', 'ratio', 0.75) }
        : { mode: 'adaptive', tauDegrees: number('tauDegrees', 'tauDegrees', tauDegrees) },
    rollouts:
      settings.get('rolloutMode') === 'fixed'
        ? { mode: 'fixed', k: whole('rollouts', 'k', 5) }
        : { mode: 'adaptive', cap: whole('rolloutCap', 'cap', 7) },
    confidence: number('confidence', 'confidence', defaults.confidence),
    temperature: number('temperature', 'temperature', defaults.temperature),
    topP: number('topP', 'topP', defaults.topP),
    seed: whole('seed', 'seed', defaults.seed),
    maxNewTokens: whole('maxNewTokens', 'maxNewTokens', defaults.maxNewTokens),
    thinking: settings.get<boolean>('thinking', defaults.thinking),
    earlyStop: settings.get<boolean>('earlyStop', defaults.earlyStop),
  };
}
