//! Counters of receipts and money (счетчики ФН и итогов смены): 1157, 1194, 1158 and what
//! is in them.
//!
//! Shape:  up to 708 bytes; four levels with the document: 1157, 1133, 1145. Unit: pieces and kopecks.
//! Source: order ЕД-7-20/662@, the tables of tags 1129-1133, 1145, 1146, 1157, 1158, 1194, 1232, 1233.

use super::requisites::{empty, requisites};

requisites! {
    /// Counters of the drive (1157) or of the shift (1194).
    Counters, CountersBuilder {
        /// Sales (счетчики операций «приход», 1129).
        nest(Turnover, TurnoverBuilder) sales = SELL_COUNTERS;
        /// Returns of sales (счетчики операций «возврат прихода», 1130).
        nest(Turnover, TurnoverBuilder) sale_returns = SELL_RETURN_COUNTERS;
        /// Purchases (счетчики операций «расход», 1131).
        nest(Turnover, TurnoverBuilder) purchases = BUY_COUNTERS;
        /// Returns of purchases (счетчики операций «возврат расхода», 1132).
        nest(Turnover, TurnoverBuilder) purchase_returns = BUY_RETURN_COUNTERS;
        /// Correction counters (счетчики операций по чекам коррекции, 1133).
        nest(CorrectionCounters, CorrectionCountersBuilder) corrections = CORRECTION_COUNTERS;
        /// All receipts count (количество чеков, 1134).
        long receipts = ALL_RECEIPTS_COUNT;
    }
}

empty!(CountersBuilder);

requisites! {
    /// Counters of documents not yet confirmed (счетчики непереданных ФД, 1158).
    UnsentCounters, UnsentCountersBuilder {
        /// Sales (счетчики операций «приход», 1129).
        nest(Turnover, TurnoverBuilder) sales = SELL_COUNTERS;
        /// Returns of sales (счетчики операций «возврат прихода», 1130).
        nest(Turnover, TurnoverBuilder) sale_returns = SELL_RETURN_COUNTERS;
        /// Purchases (счетчики операций «расход», 1131).
        nest(Turnover, TurnoverBuilder) purchases = BUY_COUNTERS;
        /// Returns of purchases (счетчики операций «возврат расхода», 1132).
        nest(Turnover, TurnoverBuilder) purchase_returns = BUY_RETURN_COUNTERS;
        /// Correction counters (счетчики операций по чекам коррекции, 1133).
        nest(CorrectionCounters, CorrectionCountersBuilder) corrections = CORRECTION_COUNTERS;
        /// All receipts count (количество чеков, 1134).
        long receipts = ALL_RECEIPTS_COUNT;
        /// Corrections count (количество чеков коррекции, 1144).
        long corrections_count = CORRECTIONS_COUNT;
        /// Corrections of sales (счетчики по признаку «приход», 1145).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) sale_corrections = SELL_CORRECTION_COUNTERS;
        /// Corrections of purchases (счетчики по признаку «расход», 1146).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) purchase_corrections = BUY_CORRECTION_COUNTERS;
        /// Corrections of returns of sales (счетчики по признаку «возврат прихода», 1232).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) sale_return_corrections = SELL_RETURN_CORRECTION_COUNTERS;
        /// Corrections of returns of purchases (счетчики по признаку «возврат расхода», 1233).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) purchase_return_corrections = BUY_RETURN_CORRECTION_COUNTERS;
    }
}

empty!(UnsentCountersBuilder);

requisites! {
    /// Receipts of one direction (1129-1132).
    Turnover, TurnoverBuilder {
        /// Receipts count (количество чеков, 1135).
        long receipts = RECEIPTS_COUNT;
        /// In cash (итоговая сумма в чеках, 1136), kopecks.
        money cash = COUNTER_CASH_SUM;
        /// Cashless (итоговая сумма в чеках, 1138), kopecks.
        money ecash = COUNTER_ECASH_SUM;
        /// Tax at 20 % (сумма НДС по ставке 20%, 1139), kopecks.
        money vat_20 = COUNTER_VAT_20;
        /// Tax at 10 % (сумма НДС по ставке 10%, 1140), kopecks.
        money vat_10 = COUNTER_VAT_10;
        /// Tax at 20/120 (сумма НДС по расч. ставке 20/120, 1141), kopecks.
        money vat_20_120 = COUNTER_VAT_20_120;
        /// Tax at 10/110 (сумма НДС по расч. ставке 10/110, 1142), kopecks.
        money vat_10_110 = COUNTER_VAT_10_110;
        /// Turnover at 0 % (сумма расчетов с НДС по ставке 0%, 1143), kopecks.
        money turnover_vat_0 = COUNTER_TURNOVER_VAT_0;
        /// Turnover without tax (сумма расчетов без НДС, 1183), kopecks.
        money turnover_no_vat = COUNTER_TURNOVER_NO_VAT;
        /// Total (общая итоговая сумма в чеках, 1201), kopecks.
        money total = COUNTER_TOTAL_SUM;
        /// Out of prepayments (итоговая сумма в чеках, 1218), kopecks.
        money prepaid = COUNTER_PREPAID_SUM;
        /// On credit (итоговая сумма в чеках, 1219), kopecks.
        money credit = COUNTER_CREDIT_SUM;
        /// In kind (итоговая сумма в чеках, 1220), kopecks.
        money provision = COUNTER_PROVISION_SUM;
    }
}

empty!(TurnoverBuilder);

requisites! {
    /// Corrections by direction (1133).
    CorrectionCounters, CorrectionCountersBuilder {
        /// Corrections count (количество чеков коррекции, 1144).
        long count = CORRECTIONS_COUNT;
        /// Corrections of sales (счетчики по признаку «приход», 1145).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) sales = SELL_CORRECTION_COUNTERS;
        /// Corrections of purchases (счетчики по признаку «расход», 1146).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) purchases = BUY_CORRECTION_COUNTERS;
        /// Corrections of returns of sales (счетчики по признаку «возврат прихода», 1232).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) sale_returns = SELL_RETURN_CORRECTION_COUNTERS;
        /// Corrections of returns of purchases (счетчики по признаку «возврат расхода», 1233).
        nest(CorrectionTurnover, CorrectionTurnoverBuilder) purchase_returns = BUY_RETURN_CORRECTION_COUNTERS;
    }
}

empty!(CorrectionCountersBuilder);

requisites! {
    /// Corrections of one direction (1145, 1146, 1232, 1233).
    CorrectionTurnover, CorrectionTurnoverBuilder {
        /// Receipts count (количество чеков, 1135).
        long receipts = RECEIPTS_COUNT;
        /// In cash (итоговая сумма в чеках, 1136), kopecks.
        money cash = COUNTER_CASH_SUM;
        /// Cashless (итоговая сумма в чеках, 1138), kopecks.
        money ecash = COUNTER_ECASH_SUM;
        /// Total (общая итоговая сумма в чеках, 1201), kopecks.
        money total = COUNTER_TOTAL_SUM;
        /// Out of prepayments (итоговая сумма в чеках, 1218), kopecks.
        money prepaid = COUNTER_PREPAID_SUM;
        /// On credit (итоговая сумма в чеках, 1219), kopecks.
        money credit = COUNTER_CREDIT_SUM;
        /// In kind (итоговая сумма в чеках, 1220), kopecks.
        money provision = COUNTER_PROVISION_SUM;
    }
}

empty!(CorrectionTurnoverBuilder);
