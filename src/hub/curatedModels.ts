/** Vision-language models with public ONNX exports of the families that the engine runs. */
export interface CuratedModel {
  /** Hugging Face id. */
  id: string;
  parameters: string;
  license: string;
  note: string;
}

export const curatedModels: CuratedModel[] = [
  {
    id: 'HuggingFaceTB/SmolVLM-256M-Instruct',
    parameters: '256 M',
    license: 'Apache 2.0',
    note: 'The smallest; runs anywhere',
  },
  {
    id: 'HuggingFaceTB/SmolVLM-500M-Instruct',
    parameters: '500 M',
    license: 'Apache 2.0',
    note: 'Small, noticeably better answers',
  },
  {
    id: 'HuggingFaceTB/SmolVLM-Instruct',
    parameters: '2.2 B',
    license: 'Apache 2.0',
    note: 'The largest SmolVLM',
  },
  {
    id: 'onnx-community/Qwen2-VL-2B-Instruct',
    parameters: '2.2 B',
    license: 'Apache 2.0',
    note: 'Any image size, many languages',
  },
  {
    id: 'onnx-community/Qwen3-VL-2B-Instruct-ONNX',
    parameters: '2.1 B',
    license: 'Apache 2.0 (as the original model; the export names none)',
    note: 'The newest Qwen of this size',
  },
  {
    id: 'onnx-community/Qwen2.5-VL-3B-Instruct-ONNX',
    parameters: '3.8 B',
    license: 'Qwen Research License, non-commercial use only',
    note: 'The family that AVIS was published on',
  },
];
