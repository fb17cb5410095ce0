//! Fused tensor operations behind burn's extension point
